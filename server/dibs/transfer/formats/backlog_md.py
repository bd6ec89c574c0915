"""Backlog.md: a folder with `config.yml` and one Markdown file for each task.

Source of the layout: MrLesk/Backlog.md, `src/markdown` (2026).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, ClassVar, Final

from pydantic import Field

from dibs.transfer.formats.backlog import Backlog, Report
from dibs.transfer.formats.entry import Dependency, Entry
from dibs.transfer.formats.folder import Folder
from dibs.transfer.formats.front_matter import parse_settings, split_front_matter
from dibs.transfer.formats.records import (
    AGENTS,
    OWN_TIMES,
    Line,
    Priority,
    Record,
    References,
    Steps,
    Text,
    Texts,
    add_text,
    assemble_records,
)
from dibs.transfer.formats.status import status_word
from dibs.transfer.formats.vocabulary import snake
from dibs_schema.status import Status

TASKS: Final = ("tasks/*.md", "completed/*.md", "archive/tasks/*.md")
CONFIG: Final = ("config.yml", "backlog.config.yml")

_SECTION: Final = re.compile(r"^## (.+?)[ \t]*$", re.MULTILINE)
_MARKED: Final = re.compile(r"<!-- SECTION:(\w+):BEGIN -->.*?<!-- SECTION:\1:END -->", re.DOTALL)
_MARK: Final = re.compile(r"^<!-- (?:SECTION|AC|DOD)(?::\w+)*:(?:BEGIN|END) -->[ \t]*\n?", re.MULTILINE)

_HIDDEN: Final = "\n\0## "
"""Stands for a heading in the text of a section, while the sections are split."""


class Task(Record):
    """The front matter and the sections of one task."""

    LEFT_OUT: ClassVar = {
        **dict.fromkeys(("created_date", "updated_date"), OWN_TIMES),
        **dict.fromkeys(("assignee", "reporter"), AGENTS),
    }

    reference: Line = Field(None, alias="id")
    name: Line = Field(None, alias="title")
    parent: Line = Field(None, alias="parent_task_id", description="category: the title of the parent")
    labels: Texts = Field([], description="text, and category without a parent")
    phase: Line = Field(None, alias="milestone")
    place: int | None = Field(None, alias="ordinal", description="the order of the tasks")
    priority: Priority = None
    status: Line = None
    dependencies: References = Field([])
    paths: Texts = Field([], alias="modified_files")
    description: Text = Field(None, alias="## Description")
    steps: Steps = Field([], alias="## Acceptance Criteria")
    done: Steps = Field([], alias="## Definition of Done", description="steps")
    notes: Texts = Field([], alias="## Implementation Notes")
    evidence: Text = Field(None, alias="## Final Summary")


def recognizes(folder: Folder) -> bool:
    """Check for the settings and the tasks of Backlog.md."""
    return any((folder.path / name).is_file() for name in CONFIG) and (folder.path / "tasks").is_dir()


def read(folder: Folder) -> Backlog:
    """Return the tasks, also completed and archived ones, in their order. Raises InvalidInput."""
    report = Report()
    names = [name for pattern in TASKS for name in folder.names(pattern)]
    tasks = [(name, folder.read(name, lambda text: Task.of(_fields(text), "its front matter"))) for name in names]
    tasks.sort(key=lambda one: (one[1].place is None, one[1].place or 0, _natural(one[1].reference or "")))
    ids = {(task.reference or "").casefold(): task for _, task in tasks}
    options = replace(folder.options, statuses={**_statuses(folder), **folder.options.statuses}, drop_unknown=True)
    entries = []
    for name, task in tasks:
        entry = task.entry(name, report, options)
        entry.steps += task.done
        entry.dependencies = [
            Dependency(getattr(ids.get(one.casefold()), "reference", None) or one, f"{name}.dependencies")
            for one in task.dependencies
        ]
        _categorize(entry, task, ids.get((task.parent or "").casefold()), report)
        if name.startswith("archive/"):
            entry.status, entry.archived_from = Status.ARCHIVED, Status.PENDING
            report.mapped("folder archive", Status.ARCHIVED)
        entries.append(entry)
    if drafts := len(folder.names("drafts/*.md")):
        report.ignored(f"{drafts} drafts, which are no tasks yet")
    return assemble_records("Backlog.md", entries, report, options)


def _fields(text: str) -> dict[str, Any]:
    """Return the front matter, and the sections by their headings."""
    fields, body = split_front_matter(text.replace("\r\n", "\n"))
    body = _MARKED.sub(lambda marked: marked[0].replace("\n## ", _HIDDEN), body)
    before, *sections = _SECTION.split(body)
    found = {
        f"## {title}": _MARK.sub("", text.replace(_HIDDEN, "\n## ")).strip()
        for title, text in zip(sections[::2], sections[1::2], strict=True)
    }
    return {**fields, **found, **({"text": before.strip()} if before.strip() else {})}


def _statuses(folder: Folder) -> dict[str, Status]:
    """Return the meanings of the configured statuses that are not common words: the last status means passing."""
    name = next(name for name in CONFIG if (folder.path / name).is_file())
    listed = folder.read(name, lambda text: parse_settings(text.split("\n"))).get("statuses")
    words = [word for word in listed if isinstance(word, str)] if isinstance(listed, list) else []
    return {
        snake(word): Status.PASSING if word == words[-1] else Status.PENDING
        for word in words
        if status_word(word, {}) is None
    }


def _categorize(entry: Entry, task: Task, parent: Task | None, report: Report) -> None:
    """Give the entry the title of its parent as its category, else its first label."""
    if parent is not None and parent is not task:
        entry.category = parent.name
        report.mapped("parent_task_id", "category: the title of the parent")
    elif task.labels:
        entry.category = task.labels[0]
        report.mapped("first label", "category")
    if task.labels:
        add_text(entry, "labels", ", ".join(task.labels), report)


def _natural(reference: str) -> list[int]:
    return [int(number[:18]) for number in re.findall(r"\d+", reference)]
