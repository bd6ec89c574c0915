"""Claude Code Tasks: a folder of `~/.claude/tasks`, with one JSON file for each task.

Source of the layout: Claude Code 2.1 (2026), by the files that it writes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from dibs.transfer.formats.backlog import Backlog, Report
from dibs.transfer.formats.folder import Folder
from dibs.transfer.formats.json_text import parse
from dibs.transfer.formats.records import AGENTS, Line, Record, References, Text, add_dependents, assemble_records
from dibs_schema.status import Status


class Task(Record):
    """One task."""

    STATUSES: ClassVar = {
        **dict.fromkeys(("pending", "in_progress"), Status.PENDING),
        "completed": Status.PASSING,
        "deleted": Status.ARCHIVED,
    }
    LEFT_OUT: ClassVar = {"activeForm": "it says the name in another form", "owner": AGENTS}

    reference: Line = Field(None, alias="id")
    name: Line = Field(None, alias="subject")
    description: Text = None
    status: Line = None
    dependencies: References = Field([], alias="blockedBy")
    blocks: References = Field([], description="dependencies of the others")


def recognizes(folder: Folder) -> bool:
    """Check for files such as `1.json` with a subject, and for no other JSON files."""
    names = folder.names("*.json")
    return bool(names) and all(name.removesuffix(".json").isdecimal() for name in names)


def read(folder: Folder) -> Backlog:
    """Return the tasks in the order of their numbers. Raises InvalidInput."""
    report = Report()
    names = sorted(folder.names("*.json"), key=lambda name: int(name.removesuffix(".json")))
    tasks = [(name, folder.read(name, lambda text: Task.of(parse(text), "the task"))) for name in names]
    entries = [task.entry(name, report, folder.options) for name, task in tasks]
    add_dependents(entries, [task.blocks for _, task in tasks], report)
    options = replace(folder.options, drop_unknown=True)
    return assemble_records("Claude Code Tasks", entries, report, options, source=folder.path.resolve().name)
