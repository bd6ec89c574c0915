"""Tables as CSV: the issues that Linear or Jira exports, and feature lists with a column for each field."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, Field

from dibs.transfer.formats import feature_list
from dibs.transfer.formats import vocabulary as words
from dibs.transfer.formats.backlog import Backlog, Report, SourceFile
from dibs.transfer.formats.fields import RawFeature
from dibs.transfer.formats.records import (
    AGENTS,
    OWN_TIMES,
    Line,
    Priority,
    Record,
    Text,
    Texts,
    add_dependents,
    assemble_records,
    strings,
)
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status

DELIMITERS: Final = (",", ";", "\t")
ABOUT_THE_TOOL: Final = "it is about the tool"


def _keys(value: Any) -> list[str]:
    """Return the keys of issues, which are in one column, separated by commas, or in several columns."""
    return [key.strip() for one in strings(value) for key in one.split(",") if key.strip()]


Row = tuple[str, dict[str, Any]]
"""The place of a row in the file, and its values by the names of their columns."""

Keys = Annotated[list[str], BeforeValidator(_keys)]


class Issue(Record):
    """A row of either tool's export; `name_of_tool` is what the report calls the tool."""

    name_of_tool: ClassVar[str]

    reference: Line = None
    name: Line = None
    description: Text = None
    status: Line = None
    priority: Priority = None
    category: Line = None
    spare_category: Line = None
    phase: Line = None
    dependencies: Keys = Field([])
    blocks: Keys = Field([])

    def known_status(self) -> str | None:
        """Return the word for the state; in these tools a state may have any name."""
        return self.status

    def discussion(self) -> list[str]:
        """Return the comments, if the tool exports them."""
        return []


class LinearIssue(Issue):
    """A row of Linear's export."""

    name_of_tool = "Linear"

    LEFT_OUT: ClassVar = {
        **dict.fromkeys(
            ("Created", "Updated", "Started", "Triaged", "Archived", "Cycle Start", "Cycle End"), OWN_TIMES
        ),
        **dict.fromkeys(("Creator", "Assignee"), AGENTS),
        **dict.fromkeys(
            ("UUID", "Project ID", "Project Milestone ID", "Time in status (minutes)", "SLA Status"), ABOUT_THE_TOOL
        ),
    }

    reference: Line = Field(None, alias="ID")
    name: Line = Field(None, alias="Title")
    description: Text = Field(None, alias="Description")
    status: Line = Field(None, alias="Status")
    completed: Line = Field(None, alias="Completed", description="status passing")
    canceled: Line = Field(None, alias="Canceled", description="status archived")
    priority: Priority = Field(None, alias="Priority")
    category: Line = Field(None, alias="Project")
    spare_category: Line = Field(None, alias="Team", description="category, without a project")
    phase: Line = Field(None, alias="Project Milestone")
    dependencies: Keys = Field([], alias="Blocked by")
    blocks: Keys = Field([], alias="Blocks", description="dependencies of the others")

    def known_status(self) -> str | None:
        """Return the word for the state by the date on which it was reached."""
        return "canceled" if self.canceled else "completed" if self.completed else self.status


class JiraIssue(Issue):
    """A row of Jira's export."""

    name_of_tool = "Jira"

    STATUSES: ClassVar = {
        **dict.fromkeys(
            ("won_t_do", "won_t_fix", "duplicate", "cannot_reproduce", "declined", "incomplete"), Status.ARCHIVED
        ),
        "to_do": Status.PENDING,
    }
    LEFT_OUT: ClassVar = {
        **dict.fromkeys(("Created", "Updated", "Last Viewed", "Resolved", "Status Category Changed"), OWN_TIMES),
        **dict.fromkeys(("Assignee", "Assignee Id", "Reporter", "Reporter Id", "Creator", "Creator Id"), AGENTS),
        **dict.fromkeys(
            (
                *("Issue id", "Project key", "Project name", "Project type", "Project lead", "Project lead id"),
                *("Project description", "Project url", "Parent", "Parent id", "Parent key", "Watchers", "Watchers Id"),
                *("Votes", "Work Ratio", "Custom field (Rank)", "Custom field (Development)", "Security Level"),
            ),
            ABOUT_THE_TOOL,
        ),
    }

    reference: Line = Field(None, alias="Issue key")
    name: Line = Field(None, alias="Summary")
    description: Text = Field(None, alias="Description")
    status: Line = Field(None, alias="Status")
    resolution: Line = Field(None, alias="Resolution", description="status archived, if it says that nothing was done")
    group: Line = Field(None, alias="Status Category", description="status, where the word for the status is not known")
    priority: Priority = Field(None, alias="Priority")
    category: Line = Field(None, alias="Parent summary")
    spare_category: Line = Field(None, alias="Issue Type", description="category, without a parent")
    phase: Line = Field(None, alias="Fix Version/s")
    dependencies: Keys = Field([], alias="Inward issue link (Blocks)")
    blocks: Keys = Field([], alias="Outward issue link (Blocks)", description="dependencies of the others")
    comments: Texts = Field([], alias="Comment", description="notes")

    def known_status(self) -> str | None:
        """Return the word for the state: what became of the issue, or the group of its status."""
        if self.resolution and words.snake(self.resolution) in self.STATUSES:
            return self.resolution
        return self.group or self.status

    def discussion(self) -> list[str]:
        """Return the texts of the comments, each without its time and author."""
        return [comment.split(";", 2)[-1].strip() for comment in self.comments]


def recognizes(file: SourceFile) -> bool:
    """Check for the name of a table, or for the columns of Linear or Jira in the first line."""
    if file.path.suffix.lower() in (".csv", ".tsv"):
        return True
    first = file.content[:10_000].decode("utf-8", "replace").lstrip("\ufeff").partition("\n")[0]
    try:
        return _model(_columns(first.rstrip("\r"))) is not None
    except csv.Error:
        return False


def read(file: SourceFile) -> Backlog:
    """Return the rows of the table in their order. Raises InvalidInput."""
    report = Report()
    columns, rows = _table(file.text())
    model = _model(columns)
    if model is None:
        return _as_features(columns, rows, report, file)
    issues = [(path, model.of(row, path)) for path, row in rows]
    entries = []
    for path, issue in issues:
        entry = issue.model_copy(update={"status": issue.known_status()}).entry(path, report, file.options)
        entry.category = entry.category or issue.spare_category
        entry.notes = issue.discussion()
        entries.append(entry)
    add_dependents(entries, [issue.blocks for _, issue in issues], report)
    return assemble_records(f"{model.name_of_tool} CSV", entries, report, replace(file.options, drop_unknown=True))


def _as_features(columns: Collection[str], rows: list[Row], report: Report, file: SourceFile) -> Backlog:
    if not {words.snake(name) for name in columns} & {*words.NAMES, *words.SPARE_NAMES, *words.DESCRIPTIONS}:
        raise InvalidInput(
            "its first line names no column such as title or description; exports of Linear and Jira, and tables with one "
            "column for each field are read."
        )
    return feature_list.read("CSV", [RawFeature(path, row) for path, row in rows], report, file.options)


def _model(columns: Collection[str]) -> type[Issue] | None:
    if {"Issue key", "Summary"} <= {*columns}:
        return JiraIssue
    return LinearIssue if {"ID", "Title", "Status", "Team"} <= {*columns} else None


def _columns(first: str) -> list[str]:
    """Return the names of the columns in the first line; Jira calls an issue a work item, too."""
    names = next(csv.reader([first], delimiter=_delimiter(first)), [])
    return [name.strip().replace("Work item", "Issue").replace("work item", "issue") for name in names]


def _delimiter(first: str) -> str:
    return max(DELIMITERS, key=first.count)


def _table(text: str) -> tuple[list[str], list[Row]]:
    """Return the names of the columns, and the rows with their values; a column that is repeated has a list of them."""
    first = text.partition("\n")[0].rstrip("\r")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(first))
    rows: list[Row] = []
    try:
        columns = _columns(first)
        next(reader, None)
        for values in reader:
            row: dict[str, Any] = {}
            for name, value in zip(columns, values, strict=False):
                if value.strip():
                    row[name] = [*strings(row[name]), value] if name in row else value
            if row:
                rows.append((f"line {reader.line_num}", row))
    except csv.Error as error:
        line = max(reader.line_num, 1)
        raise InvalidInput(
            f"line {line} is not CSV, or has a field of more than {csv.field_size_limit():,} characters.", line=line
        ) from error
    return columns, rows
