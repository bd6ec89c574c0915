"""shrimp task manager: `tasks.json`.

Source of the layout: cjo4m06/mcp-shrimp-task-manager, `src/types/index.ts` (2025).
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from pydantic import BaseModel, Field

from dibs.transfer.formats.backlog import Backlog, Report, SourceFile
from dibs.transfer.formats.json_text import first_records, records_of
from dibs.transfer.formats.paths import usable_paths
from dibs.transfer.formats.records import (
    AGENTS,
    OWN_TIMES,
    Line,
    Record,
    References,
    Steps,
    Text,
    Texts,
    add_text,
    assemble_records,
)

CHANGED: Final = ("TO_MODIFY", "CREATE")
"""The kinds of related files that a task changes."""


class RelatedFile(BaseModel):
    """A file that is related to a task."""

    path: str
    kind: str = Field(CHANGED[0], alias="type")


class Task(Record):
    """One task."""

    LEFT_OUT: ClassVar = {
        **dict.fromkeys(("createdAt", "updatedAt", "completedAt"), OWN_TIMES),
        "agent": AGENTS,
    }

    reference: Line = Field(None, alias="id")
    name: Line = None
    description: Text = None
    steps: Steps = Field([], alias="verificationCriteria")
    notes: Texts = Field([])
    status: Line = None
    dependencies: References = Field([])
    files: list[RelatedFile] = Field(
        [], alias="relatedFiles", description="paths, or text if the task only reads the file"
    )
    evidence: Text = Field(None, alias="summary")


def recognizes(document: Any) -> bool:
    """Check for a list `tasks` with a field that only this tool has."""
    own = {"implementationGuide", "verificationCriteria", "relatedFiles"}
    return any(own & one.keys() for one in first_records(document, "tasks"))


def read(document: Any, file: SourceFile) -> Backlog:
    """Return the tasks in the order of the file. Raises InvalidInput."""
    report = Report()
    entries = []
    for path, value in records_of(document, "tasks"):
        task = Task.of(value, path)
        entry = task.entry(path, report, file.options)
        entry.paths = usable_paths([one.path for one in task.files if one.kind in CHANGED], report)
        if entry.paths:
            report.mapped("relatedFiles", "paths")
        if only_read := [f"{one.path} ({one.kind})" for one in task.files if one.kind not in CHANGED]:
            add_text(entry, "relatedFiles", "\n".join(only_read), report)
        entries.append(entry)
    return assemble_records("shrimp", entries, report, file.options)
