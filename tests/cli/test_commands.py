"""The command line, run as a person runs it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dibs.database import open_database
from dibs.settings import Settings
from dibs.verbs.claim import claim
from dibs.verbs.holder import Holder
from dibs.verbs.human import new_request, request_human_input
from dibs.verbs.question import ask_user
from dibs_schema.answers import Claimed
from dibs_schema.inputs import HumanField, Question

FEATURES = [
    {
        "id": "A",
        "category": "core",
        "name": "First",
        "description": "The first.",
        "steps": ["look"],
        "passes": False,
    },
    {"id": "B", "category": "core", "name": "Second", "description": "The second.", "dependencies": ["A"]},
]


def dibs(*arguments: str, cwd: Path, typed: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `dibs` in `cwd`, with no settings of the developer's."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DIBS_")}
    return subprocess.run(
        [sys.executable, "-m", "dibs", *arguments],
        cwd=cwd,
        env=clean | environment,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def answered(*arguments: str, cwd: Path) -> Any:
    """What `dibs … --json` prints."""
    done = dibs(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose backlog holds FEATURES."""
    (tmp_path / "list.json").write_text(json.dumps(FEATURES), encoding="utf-8")
    assert dibs("import", "list.json", cwd=tmp_path).returncode == 0
    return tmp_path


def test_an_import_makes_a_private_backlog_that_git_ignores(folder: Path) -> None:
    """`dibs import` makes `.dibs/` with a file of mode 600 and a .gitignore of its own."""
    assert (folder / ".dibs" / "features.db").stat().st_mode & 0o777 == 0o600
    assert (folder / ".dibs" / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_importing_twice_adds_nothing(folder: Path) -> None:
    """A second import finds every reference present."""
    again = answered("import", "list.json", cwd=folder)
    assert (again["added"], again["present"]) == (0, 2)
    assert answered("status", cwd=folder)["total"] == 2


def test_a_refused_import_adds_nothing(folder: Path) -> None:
    """A file with one bad feature is refused whole, naming the place."""
    (folder / "bad.json").write_text(
        json.dumps([{"id": 1, "name": "x"}, {"id": 1, "name": "y"}]), encoding="utf-8"
    )
    done = dibs("import", "bad.json", cwd=folder)
    assert done.returncode == 2
    assert "Nothing was imported" in done.stderr
    assert answered("status", cwd=folder)["total"] == 2


def test_the_backlog_itself_is_not_imported(folder: Path) -> None:
    """`dibs import` refuses its own database."""
    done = dibs("import", ".dibs/features.db", cwd=folder)
    assert done.returncode == 2
    assert "backlog itself" in done.stderr


def test_status_list_and_show_tell_what_is_there(folder: Path) -> None:
    """The three views agree with the imported file."""
    assert answered("status", cwd=folder)["counts"] == {"ready": 1, "pending": 2}
    assert [row["name"] for row in answered("list", cwd=folder)["features"]] == ["First", "Second"]
    assert [row["id"] for row in answered("list", "--text", "B", cwd=folder)["features"]] == [2]
    shown = answered("show", "2", cwd=folder)
    assert (shown["reference"], shown["dependencies"][0]["id"]) == ("B", 1)
    assert shown["history"][0]["kind"] == "create"


@pytest.mark.parametrize(
    "command", [["status"], ["list"], ["show", "1"], ["answer"], ["doctor"], ["settings"]]
)
def test_people_get_words(folder: Path, command: list[str]) -> None:
    """Without --json every command prints something readable and ends well."""
    done = dibs(*command, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "Traceback" not in done.stderr


def test_looking_makes_no_backlog(tmp_path: Path) -> None:
    """A command that only looks refuses to bring an empty backlog into being."""
    done = dibs("status", cwd=tmp_path)
    assert done.returncode == 1
    assert "There is no backlog at" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    """A SQLite file with other tables is refused and not changed by a byte."""
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    before = other.read_bytes()
    done = dibs("status", "--db", str(other), cwd=tmp_path)
    assert done.returncode == 2
    assert "another program" in done.stderr
    assert other.read_bytes() == before


def ask(folder: Path) -> None:
    """Let an agent ask a question about feature 1, and one to the user."""
    database = open_database(Settings(db=str(folder / ".dibs" / "features.db")))
    holder = Holder("w", named=True, session=None, lease=60)
    fields = [
        HumanField(id="colour", label="Which?", type="select", options=["red", "blue"]),
        HumanField(id="sure", label="Sure?", type="boolean"),
    ]
    claimed = database.write_now(lambda tx: claim(tx, holder, 1))
    assert isinstance(claimed, Claimed)
    token = claimed.claim.token
    database.write_now(lambda tx: request_human_input(tx, "w", 1, token, new_request("Colour?", fields)))
    question = Question.model_validate({"question": "Ship?", "header": "Ship", "options": ["yes", "no"]})
    database.write_now(lambda tx: ask_user(tx, "w", [question]))
    database.close(5)


def test_answers_are_listed_checked_and_kept(folder: Path) -> None:
    """`dibs answer` lists what is asked, refuses what does not fit, and takes what does."""
    ask(folder)
    assert [one.get("feature_id") for one in answered("answer", cwd=folder)] == [1, None]
    wrong = dibs("answer", "1", "--set", "colour=green", "--set", "sure=yes", cwd=folder)
    assert wrong.returncode == 2
    assert "choose one of red, blue" in wrong.stderr
    right = dibs("answer", "1", "--set", "colour=blue", "--set", "sure=yes", cwd=folder)
    assert right.returncode == 0, right.stderr
    assert answered("show", "1", cwd=folder)["human_answer"]["answers"] == {"colour": "blue", "sure": True}
    assert dibs("answer", "--question", "1", "--cancel", cwd=folder).returncode == 0
    assert answered("answer", cwd=folder) == []
    assert dibs("answer", "1", "--cancel", cwd=folder).returncode == 1


def test_answers_are_asked_for_at_the_terminal(folder: Path) -> None:
    """Without --set each field is asked for."""
    ask(folder)
    done = dibs("answer", "1", cwd=folder, typed="red\nno\n")
    assert done.returncode == 0, done.stderr
    assert answered("show", "1", cwd=folder)["human_answer"]["answers"] == {"colour": "red", "sure": False}


def test_settings_are_shown_changed_and_checked(folder: Path) -> None:
    """`dibs settings` reads and writes one rule, and names a wrong one."""
    assert answered("settings", cwd=folder)["max_claims"] == 1
    assert answered("settings", "max_claims", "3", cwd=folder) == {"max_claims": 3}
    assert answered("settings", "max_claims", cwd=folder) == {"max_claims": 3}
    assert dibs("settings", "max_claims", "0", cwd=folder).returncode == 2
    assert dibs("settings", "colour", "red", cwd=folder).returncode == 2


def test_the_doctor_finds_a_wrong_counter(folder: Path) -> None:
    """A counter that a foreign hand changed is named, with exit status 2."""
    from dibs.database import file_driver

    with file_driver().connect(folder / ".dibs" / "features.db") as connection:
        connection.execute("UPDATE features SET unmet_dependencies = 5 WHERE id = 2")
    connection.close()
    done = dibs("doctor", "--json", cwd=folder)
    assert done.returncode == 2
    wrong = [one for one in json.loads(done.stdout)["findings"] if one["level"] == "error"]
    assert [one["check"] for one in wrong] == ["counters"]
    assert "2: 5, counted 1" in wrong[0]["says"]


def test_an_unknown_setting_in_the_environment_is_named(tmp_path: Path) -> None:
    """A misspelt DIBS_ variable is an error and not silence."""
    done = dibs("status", cwd=tmp_path, DIBS_LEESE="3")
    assert done.returncode == 2
    assert "DIBS_LEESE" in done.stderr


def test_worktrees_share_the_backlog_of_their_repository(tmp_path: Path) -> None:
    """A worktree finds the common root; --isolated gives it its own."""
    main = tmp_path / "main"
    subprocess.run(["git", "init", "-q", str(main)], check=True)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(
        ["git", "-C", str(main), *identity, "commit", "-q", "--allow-empty", "-m", "x"], check=True
    )
    subprocess.run(["git", "-C", str(main), "worktree", "add", "-q", str(tmp_path / "tree")], check=True)
    (main / "list.json").write_text(json.dumps(FEATURES), encoding="utf-8")
    assert dibs("import", "list.json", cwd=main).returncode == 0
    assert answered("status", cwd=tmp_path / "tree")["database"] == str(main / ".dibs" / "features.db")
    assert dibs("status", "--isolated", cwd=tmp_path / "tree").returncode == 1
