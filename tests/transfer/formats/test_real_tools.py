"""Files that the tools themselves have written, where they are installed: `backlog` and `openspec`, both from npm."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from dibs.transfer.formats import read_backlog
from dibs_schema.status import Status

pytestmark = pytest.mark.slow


def run(folder: Path, *command: str) -> str:
    """Run a tool in a folder, and return its output. Skip the test if the tool is not installed."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=100)
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
