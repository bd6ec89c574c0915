"""Files of hundreds of entries, as each tool writes them, come in whole, in order, with their states and dependencies."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dibs.transfer.formats import Backlog, read_backlog
from dibs_schema.status import Status

COUNT = 240
WIDTH = 6


@dataclass(frozen=True)
class Task:
    """One task: its number from 1, whether it is done, and the numbers of those that it waits for."""

    number: int
    done: bool
    needs: tuple[int, ...]


TASKS = [
    Task(number, number % 3 == 0, tuple(other for other in (number - 1, number - WIDTH) if other > 0 and number % 4))
    for number in range(1, COUNT + 1)
]

Write = Callable[[Path], Path]


def beads(folder: Path) -> Path:
    """Issues with links of the kind `blocks`."""
    lines = [
        {
            "id": f"b-{one.number}",
            "title": f"Task {one.number}",
            "status": "closed" if one.done else "open",
            "priority": 2,
            "issue_type": "task",
            "dependencies": [
                {"issue_id": f"b-{one.number}", "depends_on_id": f"b-{other}", "type": "blocks"} for other in one.needs
            ],
        }
        for one in TASKS
    ]
    return saved(folder / ".beads/issues.jsonl", "\n".join(map(json.dumps, lines)))


def task_master(folder: Path) -> Path:
    """The tasks of one tag."""
    tasks: list[dict[str, Any]] = [
        {
            "id": one.number,
            "title": f"Task {one.number}",
            "status": "done" if one.done else "pending",
            "priority": "medium",
            "dependencies": one.needs,
            "subtasks": [],
        }
        for one in TASKS
    ]
    return saved(folder / ".taskmaster/tasks/tasks.json", json.dumps({"master": {"tasks": tasks, "metadata": {}}}))


def shrimp(folder: Path) -> Path:
    """Tasks that name each other by their ids."""
    tasks = [
        {
            "id": f"s{one.number}",
            "name": f"Task {one.number}",
            "description": "d",
            "status": "completed" if one.done else "pending",
            "dependencies": [{"taskId": f"s{other}"} for other in one.needs],
            "relatedFiles": [],
        }
        for one in TASKS
    ]
    return saved(folder / "tasks.json", json.dumps({"tasks": tasks}))


def backlog_md(folder: Path) -> Path:
    """A file for each task."""
    saved(folder / "backlog/config.yml", 'statuses: ["To Do", "In Progress", "Done"]\n')
    for one in TASKS:
        needs = "".join(f"\n  - task-{other}" for other in one.needs) or " []"
        saved(
            folder / f"backlog/tasks/task-{one.number} - Task.md",
            f"---\nid: task-{one.number}\ntitle: Task {one.number}\nstatus: {'Done' if one.done else 'To Do'}\n"
            f"dependencies:{needs}\n---\n\n## Description\n\nSome text.\n",
        )
    return folder / "backlog"


def claude_tasks(folder: Path) -> Path:
    """A file for each task, of which each names those that it blocks."""
    for one in TASKS:
        blocks = [str(other.number) for other in TASKS if one.number in other.needs]
        status = "completed" if one.done else "pending"
        task = {
            "id": str(one.number),
            "subject": f"Task {one.number}",
            "status": status,
            "blocks": blocks,
            "blockedBy": [],
        }
        saved(folder / f"list/{one.number}.json", json.dumps(task))
    return folder / "list"


def github(folder: Path) -> Path:
    """Issues, which do not name each other."""
    issues: list[dict[str, Any]] = [
        {"number": one.number, "title": f"Task {one.number}", "state": "CLOSED" if one.done else "OPEN", "labels": []}
        for one in TASKS
    ]
    return saved(folder / "issues.json", json.dumps(issues))


def linear(folder: Path) -> Path:
    """Rows with a column of keys."""
    rows = [
        f'L-{one.number},T,Task {one.number},{"Done" if one.done else "Todo"},"{", ".join(f"L-{n}" for n in one.needs)}"'
        for one in TASKS
    ]
    return saved(folder / "linear.csv", "\n".join(["ID,Team,Title,Status,Blocked by", *rows]))


def jira(folder: Path) -> Path:
    """Rows with a column for each link."""
    rows = [
        f"Task {one.number},J-{one.number},{'Done' if one.done else 'To Do'},"
        f"{','.join([*(f'J-{n}' for n in one.needs), '', ''][:2])}"
        for one in TASKS
    ]
    head = "Summary,Issue key,Status,Inward issue link (Blocks),Inward issue link (Blocks)"
    return saved(folder / "jira.csv", "\r\n".join([head, *rows]))


def hermes(folder: Path) -> Path:
    """Rows and links."""
    path = folder / "kanban.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE tasks (id TEXT PRIMARY KEY, title TEXT, status TEXT, priority INTEGER);"
            "CREATE TABLE task_links (parent_id TEXT, child_id TEXT);"
        )
        connection.executemany(
            "INSERT INTO tasks VALUES (?, ?, ?, 0)",
            [(f"t_{one.number}", f"Task {one.number}", "done" if one.done else "todo") for one in TASKS],
        )
        connection.executemany(
            "INSERT INTO task_links VALUES (?, ?)",
            [(f"t_{other}", f"t_{one.number}") for one in TASKS for other in one.needs],
        )
        connection.commit()
    return path


def saved(path: Path, text: str) -> Path:
    """Write a file and the folders that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    "write", [beads, task_master, shrimp, backlog_md, claude_tasks, linear, jira, hermes], ids=lambda one: one.__name__
)
def test_every_task_comes_in_its_order_with_its_state_and_dependencies(write: Write, tmp_path: Path) -> None:
    """Nothing is lost among hundreds of tasks."""
    backlog = read_backlog(write(tmp_path), sqlite3)
    number = {one.reference: place for place, one in enumerate(backlog.features, start=1)}
    assert [one.name for one in backlog.features] == [f"Task {one.number}" for one in TASKS]
    assert [one.status is Status.PASSING for one in backlog.features] == [one.done for one in TASKS]
    assert [{number[other] for other in one.dependencies} for one in backlog.features] == [
        {*one.needs} for one in TASKS
    ]
    priorities = [one.priority for one in backlog.features]
    assert priorities == sorted(priorities)


def test_issues_of_github_come_in_their_order_with_their_states(tmp_path: Path) -> None:
    """GitHub's list has no dependencies."""
    backlog = read_backlog(github(tmp_path))
    assert [one.reference for one in backlog.features] == [str(one.number) for one in TASKS]
    assert [one.status is Status.PASSING for one in backlog.features] == [one.done for one in TASKS]


def box(one: Task) -> str:
    """A list item with a box."""
    return "- [x]" if one.done else "- [ ]"


def test_a_plain_checklist_has_no_dependencies(tmp_path: Path) -> None:
    """Its order is that of the queue."""
    text = "\n".join(f"{box(one)} Task {one.number}\n  - a step" for one in TASKS)
    backlog = read_backlog(saved(tmp_path / "TODO.md", text))
    assert [one.name for one in backlog.features] == [f"Task {one.number}" for one in TASKS]
    assert [one.status is Status.PASSING for one in backlog.features] == [one.done for one in TASKS]
    assert {tuple(one.dependencies) for one in backlog.features} == {()}
    assert {tuple(one.steps) for one in backlog.features} == {("a step",)}


def waits(backlog: Backlog, reference: str) -> set[str]:
    """Return everything that a feature waits for, directly or not."""
    by_reference = {one.reference: one for one in backlog.features}
    found: set[str] = set()
    open_ones = [reference]
    while open_ones:
        for other in by_reference[open_ones.pop()].dependencies:
            if other not in found:
                found.add(other)
                open_ones.append(other)
    return found


def test_phases_of_a_spec_follow_one_after_the_other_in_waves(tmp_path: Path) -> None:
    """A task of spec-kit waits for all that comes before its phase, however wide that is, by at most 20 dependencies."""
    lines = []
    for one in TASKS:
        if one.number % 60 == 1:
            lines.append(f"\n## Phase {one.number // 60 + 1}: Part\n")
        mark = "" if one.number % 60 == 1 else "[P] "
        lines.append(f"{box(one)} T{one.number:03} {mark}Task {one.number}")
    backlog = read_backlog(saved(tmp_path / "specs/001-wide/tasks.md", "\n".join(lines)))
    assert backlog.source == "001-wide"
    assert [one.reference for one in backlog.features] == [f"T{one.number:03}" for one in TASKS]
    assert [one.status is Status.PASSING for one in backlog.features] == [one.done for one in TASKS]
    assert max(len(one.dependencies) for one in backlog.features) == 20
    for number in (61, 62, 121, 240):
        before = {f"T{other:03}" for other in range(1, number // 60 * 60 + 1 if number % 60 else number - 59)}
        assert before <= waits(backlog, f"T{number:03}")
    assert "T003" not in waits(backlog, "T002")


@pytest.mark.parametrize("place", [".kiro/specs/wide/tasks.md", "openspec/changes/wide/tasks.md"])
@pytest.mark.parametrize("nested", [True, False])
def test_numbered_parts_follow_one_after_the_other(tmp_path: Path, place: str, *, nested: bool) -> None:
    """In Kiro and OpenSpec a part begins after the one before it, and a task with tasks below it comes after them."""
    lines = []
    for part in range(1, 41):
        lines.append(f"- [ ] {part}. Part {part}")
        lines += [f"{'  ' * nested}- [{'x' * (n % 2) or ' '}] {part}.{n} Task {part}.{n}" for n in range(1, 6)]
    backlog = read_backlog(saved(tmp_path / place, "# Plan\n\n" + "\n".join(lines)))
    assert len(backlog.features) == 240
    assert sum(one.status is Status.PASSING for one in backlog.features) == 120
    by_reference = {one.reference: one for one in backlog.features}
    for part in range(2, 41):
        below = [f"{part}.{n}" for n in range(1, 6)]
        assert by_reference[str(part)].dependencies == below
        assert {tuple(by_reference[one].dependencies) for one in below} == {(str(part - 1),)}
        assert {by_reference[one].category for one in below} == {f"Part {part}"}


def test_a_dependency_against_the_order_is_left_out_and_reported(tmp_path: Path) -> None:
    """A task that names a later one, or itself, does not make the file a cycle."""
    text = "- [ ] T001 One (depends on T002)\n- [ ] T002 Two (depends on T001, T002)\n"
    backlog = read_backlog(saved(tmp_path / "specs/001-a/tasks.md", text))
    assert [one.dependencies for one in backlog.features] == [[], ["T001"]]
    assert backlog.ignored == [
        "the dependency of T001 on T002, which comes later (1)",
        "the dependency of T002 on T002, which comes later (1)",
    ]
