"""Task Master: `.taskmaster/tasks/tasks.json` with its tags, and the older `tasks/tasks.json` without.

Source of the layout: eyaltoledano/claude-task-master, `packages/tm-core` (2026).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Final

from pydantic import Field

from dibs.transfer.formats.backlog import Backlog, Report, SourceFile
from dibs.transfer.formats.entry import Dependency, Entry
from dibs.transfer.formats.json_text import first_records, records_of
from dibs.transfer.formats.records import OWN_TIMES, Line, Priority, Record, References, Steps, Text, assemble_records
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status

OWN: Final = frozenset(["testStrategy", "subtasks", "details"])
"""Fields by which a task of Task Master is known, together with `dependencies`."""


class Task(Record):
    """One task, or one subtask."""

    STATUSES: ClassVar = {
        **dict.fromkeys(("pending", "in_progress", "review", "deferred"), Status.PENDING),
        "done": Status.PASSING,
        "cancelled": Status.ARCHIVED,
    }
    LEFT_OUT: ClassVar = {
        **dict.fromkeys(("createdAt", "updatedAt", "completedAt"), OWN_TIMES),
        **dict.fromkeys(("parentId", "parentTaskId"), "the place in the file says it"),
    }

    reference: Line = Field(None, alias="id")
    name: Line = Field(None, alias="title")
    description: Text = None
    details: Text = Field(None, description="description")
    steps: Steps = Field([], alias="testStrategy")
    subtasks: list[Any] = Field([], description="steps, or features with `--subtasks features`")
    dependencies: References = Field([])
    priority: Priority = None
    status: Line = None


def recognizes(document: Any) -> bool:
    """Check for tasks with dependencies and one of the fields that Task Master writes, under tags or not."""
    found = (one for tag in _tags(document).values() for one in first_records(tag, "tasks"))
    return any("dependencies" in one and OWN & one.keys() for one in found)


def _tags(document: Any) -> dict[str, Any]:
    """Return the lists of tasks by their tags; the list of an older file has the tag "". Empty for other documents."""
    if not isinstance(document, dict):
        return {}
    if isinstance(document.get("tasks"), list):
        return {"": document}
    tags = {tag: one for tag, one in document.items() if isinstance(one, dict) and isinstance(one.get("tasks"), list)}
    return tags if len(tags) == len(document) else {}


def chosen_tags(document: Any, tag: str | None) -> dict[str, Any]:
    """Return the lists of tasks to read by their tags: the chosen tag's list, or all lists. Raises InvalidInput."""
    tags = _tags(document)
    if tag is not None and tag not in tags:
        there = ", ".join(map(repr, filter(None, tags))) or "none"
        raise InvalidInput(f"it has no tag {tag!r}; its tags are: {there}.", field="tag")
    return tags if tag is None else {tag: tags[tag]}


def read(document: Any, file: SourceFile) -> Backlog:
    """Return the tasks of one tag, which scopes their ids, or of all, with ids such as `tag:1`. Raises InvalidInput."""
    tag, tags = file.options.tag, chosen_tags(document, file.options.tag)
    reader = _Reader(file, scoped=tag is None and "" not in tags)
    for name, one in tags.items():
        for path, value in records_of(one, "tasks"):
            reader.add(f"{name}.{path}".lstrip("."), value, name)
    return assemble_records("Task Master", reader.entries, reader.report, file.options, source=tag or None)


class _Reader:
    """Makes entries of tasks. With `scoped`, their references begin with the tag."""

    def __init__(self, file: SourceFile, *, scoped: bool) -> None:
        self.entries: list[Entry] = []
        self.report = Report()
        self._options = file.options
        self._scoped = scoped

    def add(self, path: str, value: Any, tag: str) -> None:
        """Add a task, and its subtasks as its steps or as features."""
        task, entry = self._entry(path, value, f"{tag}:" if self._scoped else "")
        subtasks = [(f"{path}.subtasks[{place}]", one) for place, one in enumerate(task.subtasks)]
        if self._options.subtasks_as_features:
            self._as_features(entry, task, subtasks, f"{tag}:" if self._scoped else "")
        else:
            self._as_steps(entry, subtasks)
        self.entries.append(entry)

    def _entry(self, path: str, value: Any, prefix: str) -> tuple[Task, Entry]:
        task = Task.of(value, path)
        entry = task.entry(path, self.report, self._options)
        entry.reference = f"{prefix}{task.reference}" if task.reference else None
        entry.dependencies = [replace(one, reference=f"{prefix}{one.reference}") for one in entry.dependencies]
        if task.details:
            entry.description = "\n\n".join(filter(None, (entry.description, task.details)))
            self.report.mapped("details", "description")
        return task, entry

    def _as_steps(self, entry: Entry, subtasks: list[tuple[str, Any]]) -> None:
        for path, value in subtasks:
            subtask = Task.of(value, path)
            step = ": ".join(filter(None, (subtask.name, subtask.description)))
            if step:
                entry.steps.append(step)
                self.report.mapped("subtask", "steps")
            if subtask.details:
                entry.texts.append((subtask.name or "subtask", subtask.details))
                self.report.as_text("details of a subtask")
            for lost in (name for name in ("status", "dependencies", "priority") if getattr(subtask, name)):
                self.report.ignored(f"{lost} of a subtask, which is a step: `--subtasks features` imports it")

    def _as_features(self, entry: Entry, task: Task, subtasks: list[tuple[str, Any]], prefix: str) -> None:
        """Add subtasks as features. Each waits for its task's dependencies; the task waits for the final subtasks."""
        added: list[Entry] = []
        for path, value in subtasks:
            subtask, one = self._entry(path, value, "")
            one.reference = f"{entry.reference}.{subtask.reference}"
            one.category = task.name
            one.priority = task.priority if subtask.priority is None else subtask.priority
            one.dependencies = [
                Dependency(prefix + other if "." in other else f"{entry.reference}.{other}", path)
                for other in subtask.dependencies
            ] + entry.dependencies
            added.append(one)
            self.report.mapped("subtask", "a feature of its own")
        needed = {other.reference for one in added for other in one.dependencies}
        last = [one.reference for one in added if one.reference and one.reference not in needed]
        entry.dependencies = [Dependency(one, entry.path) for one in last] or entry.dependencies
        self.entries += added
