"""hermes-agent: a `kanban.db` with the tables `tasks` and `task_links`.

Source of the layout: NousResearch/hermes-agent, `hermes_cli/kanban_db.py` (2026). A larger priority is more urgent there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Final

from pydantic import Field

from dibs.transfer.formats.backlog import Backlog, Report, SourceFile
from dibs.transfer.formats.fields import shown
from dibs.transfer.formats.records import AGENTS, OWN_TIMES, Line, Priority, Record, Text, Texts, assemble_records
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status

TABLES: Final = frozenset(["tasks", "task_links"])
COLUMNS: Final = ("id", "title", "status")
RUNNING: Final = "it is about a run of hermes-agent"


class Task(Record):
    """One row of the table `tasks`, with its links and comments."""

    STATUSES: ClassVar = {
        **dict.fromkeys(("triage", "todo", "scheduled", "ready", "running", "review"), Status.PENDING),
        "blocked": Status.STUCK,
        "done": Status.PASSING,
        "archived": Status.ARCHIVED,
    }
    LEFT_OUT: ClassVar = {
        **dict.fromkeys(("created_at", "started_at", "completed_at", "last_heartbeat_at"), OWN_TIMES),
        **dict.fromkeys(("assignee", "created_by"), AGENTS),
        **dict.fromkeys(
            (
                *(
                    "workspace_kind",
                    "workspace_path",
                    "branch_name",
                    "project_id",
                    "claim_lock",
                    "claim_expires",
                    "skills",
                ),
                *("idempotency_key", "worker_pid", "max_runtime_seconds", "current_run_id", "workflow_template_id"),
                *("current_step_key", "model_override", "provider_override", "reasoning_effort", "max_retries"),
                *("consecutive_failures", "goal_mode", "goal_max_turns", "session_id", "block_recurrences"),
            ),
            RUNNING,
        ),
    }

    reference: Line = Field(None, alias="id")
    name: Line = Field(None, alias="title")
    description: Text = Field(None, alias="body")
    category: Line = Field(None, alias="tenant")
    urgency: Priority = Field(None, alias="priority", description="priority, turned round")
    status: Line = None
    evidence: Text = Field(None, alias="result")
    last_failure: Text = Field(None, alias="last_failure_error")
    dependencies: Texts = Field([], alias="task_links")
    notes: Texts = Field([], alias="task_comments")


def rows(connection: Any, report: Report) -> list[dict[str, Any]]:  # noqa: ARG001 - the interface of a tool
    """Return the tasks in the order in which they were made, with the ids of their parents and their comments."""
    names = [row[1] for row in connection.execute("PRAGMA table_info(tasks)")]
    if not {*COLUMNS} <= {*names}:
        raise InvalidInput(f"its table `tasks` lacks one of {', '.join(COLUMNS)}: it is not hermes-agent's.")
    tasks = [dict(zip(names, row, strict=True)) for row in connection.execute("SELECT * FROM tasks ORDER BY rowid")]
    by_id = {task["id"]: task for task in tasks}
    links = connection.execute("SELECT child_id, parent_id FROM task_links ORDER BY rowid").fetchall()
    comments: list[tuple[str, str]] = []
    if connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'task_comments'").fetchone():
        comments = connection.execute("SELECT task_id, body FROM task_comments ORDER BY id").fetchall()
    for name, pairs in (("task_links", links), ("task_comments", comments)):
        for task, value in pairs:
            if task in by_id:
                by_id[task].setdefault(name, []).append(value)
    return tasks


def backlog(found: list[dict[str, Any]], report: Report, file: SourceFile) -> Backlog:
    """Return the backlog of the tasks. A task waits for its parents. Raises InvalidInput."""
    entries = []
    for row in found:
        path = f"tasks[id {shown(str(row['id']))}]"
        task = Task.of(row, path)
        entry = task.entry(path, report, file.options)
        if task.urgency is not None:
            entry.priority = -task.urgency
            report.mapped("priority", "priority, turned round: a larger one is more urgent there")
        entries.append(entry)
    return assemble_records("hermes-agent database", entries, report, replace(file.options, drop_unknown=True))
