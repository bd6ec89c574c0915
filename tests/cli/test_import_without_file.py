"""`dibs import` without FILE lists the backlogs of other tools that the repository has, and imports what is chosen."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from cli.shells import Shell

FILES = {
    "TODO.md": "- [ ] Sign in\n- [x] Sign out\n",
    "specs/001-shop/tasks.md": "## Phase 1: Setup\n\n- [ ] T001 Create the project\n",
    "openspec/changes/archive/2025-old/tasks.md": "- [x] 1.1 Done\n",
    "prd.json": '{"userStories": 7}',
}


@pytest.fixture
def shop(there: Shell) -> Shell:
    """A shell in a repository with the backlogs of other tools, one of which cannot be read."""
    for name, text in FILES.items():
        path = there.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return there


def test_without_a_terminal_it_lists_and_says_what_to_type(shop: Shell) -> None:
    """Each backlog has its count or the reason why it cannot be imported; archived changes are left out."""
    done = shop.dibs("import")
    assert done.returncode == 0
    listed = done.stdout.splitlines()
    assert "  1  prd.json: " in listed[0]
    assert "no list of features" in listed[0]
    assert listed[1:] == [
        "  2  specs/001-shop/tasks.md: 1 feature (spec-kit tasks)",
        "  3  TODO.md: 2 features (checklist)",
        "Nothing is imported yet. Name one: dibs import specs/001-shop/tasks.md",
    ]
    assert shop.json("list")["total"] == 0


def test_it_finds_the_same_from_a_folder_below(shop: Shell) -> None:
    """The repository is searched, and paths are those that work in the current folder."""
    done = shop.dibs("import", cwd=shop.folder / "specs")
    assert "001-shop/tasks.md: 1 feature" in done.stdout
    assert f"{shop.folder}/TODO.md: 2 features" in done.stdout


def test_as_json_it_is_a_list(shop: Shell) -> None:
    """Programs get paths, formats, counts and refusals."""
    found = shop.json("import")["found"]
    assert [(Path(one["path"]).name, one["features"], one["refusal"] is None) for one in found] == [
        ("prd.json", 0, False),
        ("tasks.md", 1, True),
        ("TODO.md", 2, True),
    ]


def test_a_repository_without_backlogs_says_so(there: Shell) -> None:
    """Nothing to import is no mistake."""
    done = there.dibs("import")
    assert done.returncode == 0
    assert "There is no backlog of another tool in" in done.stdout


def test_a_folder_names_the_backlogs_in_it(shop: Shell) -> None:
    """A folder that is no backlog is refused with those in it."""
    done = shop.dibs("import", ".")
    assert done.returncode == 2
    assert "name one of the backlogs in it: prd.json, specs/001-shop/tasks.md, TODO.md." in done.stderr


@pytest.mark.parametrize(
    ("answer", "total", "status"), [("all", 3, 0), ("3", 2, 0), ("2, 3", 3, 0), ("none", 0, 0), ("", 0, 0), ("9", 0, 2)]
)
def test_in_a_terminal_it_imports_what_is_chosen(shop: Shell, answer: str, total: int, status: int) -> None:
    """All, some by their numbers, or none; a number that is not listed is refused."""
    leader, follower = pty.openpty()
    os.write(leader, f"{answer}\n".encode())
    ended = subprocess.run(
        [sys.executable, "-m", "dibs", "import"],
        cwd=shop.folder,
        env=shop.environment(),
        stdin=follower,
        stdout=follower,
        stderr=follower,
        check=False,
        timeout=60,
    )
    os.close(follower)
    os.close(leader)
    assert ended.returncode == status
    assert shop.json("list")["total"] == total


def test_a_tag_and_subtasks_are_chosen_by_options(there: Shell) -> None:
    """`--tag` imports one tag of Task Master, whose ids it scopes, and `--subtasks features` subtasks as features."""
    subtasks = '[{"id": 1, "title": "Rows", "status": "done", "dependencies": []}]'
    task = f'{{"id": 1, "title": "Table", "status": "pending", "dependencies": [], "subtasks": {subtasks}}}'
    other = task.replace("Table", "Chart")
    (there.folder / "tasks.json").write_text(f'{{"web": {{"tasks": [{task}]}}, "app": {{"tasks": [{other}]}}}}')
    done = there.dibs("import", "tasks.json", "--tag", "app", "--subtasks", "features")
    assert done.returncode == 0, done.stderr
    assert [one["name"] for one in there.json("list")["features"]] == ["Rows", "Chart"]
    assert "as app)" in done.stdout
    wrong = there.dibs("import", "tasks.json", "--tag", "nothing")
    assert (wrong.returncode, "its tags are: 'web', 'app'" in wrong.stderr) == (2, True)
