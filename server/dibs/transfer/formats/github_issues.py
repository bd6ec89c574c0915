"""GitHub issues: what `gh issue list --json` prints.

Source of the layout: cli/cli, `api/export_pr.go` (2026).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from dibs.transfer.formats.backlog import Backlog, Report, SourceFile
from dibs.transfer.formats.json_text import first_records, records_of
from dibs.transfer.formats.records import AGENTS, OWN_TIMES, Line, Record, Text, add_text, assemble_records, strings
from dibs.transfer.formats.vocabulary import PRIORITY_WORDS, snake
from dibs_schema.status import Status


def _names(value: Any) -> list[str]:
    """Return the names of labels, or the title of a milestone."""
    given = value if isinstance(value, list) else [value]
    return strings([one.get("name") or one.get("title") if isinstance(one, dict) else one for one in given])


Names = Annotated[list[str], BeforeValidator(_names)]


class Issue(Record):
    """One issue."""

    STATUSES: ClassVar = {
        "open": Status.PENDING,
        "closed": Status.PASSING,
        **dict.fromkeys(("not_planned", "duplicate"), Status.ARCHIVED),
    }
    LEFT_OUT: ClassVar = {
        **dict.fromkeys(("createdAt", "updatedAt", "closedAt"), OWN_TIMES),
        **dict.fromkeys(("assignees", "author"), AGENTS),
        **dict.fromkeys(
            ("id", "closed", "isPinned", "reactionGroups", "projectCards", "projectItems"), "it is about GitHub"
        ),
    }

    reference: Line = Field(None, alias="number")
    name: Line = Field(None, alias="title")
    description: Text = Field(None, alias="body")
    status: Line = Field(None, alias="state")
    reason: Line = Field(None, alias="stateReason", description="status")
    labels: Names = Field([], description="text, category without a milestone, and priority where one says it")
    milestone: Names = Field([], description="category and phase")


def recognizes(document: Any) -> bool:
    """Check for a list of issues with a number, a title, and a field that GitHub has."""
    own = {"stateReason", "labels", "milestone", "body", "state"}
    return any({"number", "title"} <= one.keys() and own & one.keys() for one in first_records(document))


def read(document: Any, file: SourceFile) -> Backlog:
    """Return the issues in the order of the file. Raises InvalidInput."""
    report = Report()
    entries = []
    for path, value in records_of(document):
        issue = Issue.of(value, path)
        if issue.reason and snake(issue.reason) in Issue.STATUSES:
            issue = issue.model_copy(update={"status": issue.reason})
        entry = issue.entry(path, report, file.options)
        priorities = [number for label in issue.labels if (number := _priority(label))]
        if priorities:
            entry.priority = min(priorities)
            report.mapped("label", "priority")
        for title in issue.milestone:
            entry.category = entry.phase = title
            report.mapped("milestone", "category and phase")
        others = [label for label in issue.labels if _priority(label) is None]
        if others and not entry.category:
            entry.category = others[0]
            report.mapped("first label", "category")
        if others:
            add_text(entry, "labels", ", ".join(others), report)
        entries.append(entry)
    return assemble_records("GitHub issues", entries, report, file.options)


def _priority(label: str) -> int | None:
    """Return the priority that a label such as `P1` or `priority: high` says, or None."""
    word = snake(label)
    return PRIORITY_WORDS.get(word.removeprefix("priority_")) if word.startswith(("priority", "p")) else None
