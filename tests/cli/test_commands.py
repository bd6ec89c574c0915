"""The command line as a person uses it; one test runs it as a process."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from cli.shells import Shell
from clusters.urls import moved
from dibs.database import open_database
from dibs.rules.claimant import Holder
from dibs.settings import Settings
from dibs.verbs.ask_person import new_request, request_human_input
from dibs.verbs.ask_user import ask_user
from dibs.verbs.claim import claim
from dibs_schema.answers import Claimed
from dibs_schema.inputs import HumanField, Question
from foreign import by_hand

FEATURES: list[dict[str, Any]] = [
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


@pytest.fixture
def empty(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Shell:
    """A folder without a backlog, in a file or on the server that DIBS_DB names."""
    named = {"DIBS_PROJECT": "default"}  # so that the project on a server is not named after the folder
    settings = {} if engine == "sqlite" else named | {"DIBS_DB": request.getfixturevalue("empty_db")}
    folder = tmp_path / "folder"
    folder.mkdir()
    return Shell(folder, settings)


@pytest.fixture
def shell(empty: Shell) -> Shell:
    """A folder whose backlog contains FEATURES."""
    (empty.folder / "list.json").write_text(json.dumps(FEATURES), encoding="utf-8")
    done = empty.dibs("import", "list.json")
    assert done.returncode == 0, done.stderr
    return empty


A_FILE = pytest.mark.only_on("sqlite", reason="it is about a file")
A_SERVER = pytest.mark.only_on("postgresql", reason="it is about a server")

UNSYNCED = "durability"
"""The correct findings of the doctor about the tests' server, which does not sync to disk."""


@A_FILE
def test_an_import_makes_a_private_backlog_that_git_ignores(shell: Shell) -> None:
    """`dibs import` makes `.dibs/` with a file of mode 600 and a .gitignore of its own. Windows has no modes."""
    mode = (shell.folder / ".dibs" / "features.db").stat().st_mode & 0o777
    assert mode == (0o600 if sys.platform != "win32" else 0o666)
    assert (shell.folder / ".dibs" / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_a_command_is_a_process_that_says_how_it_ended(shell: Shell) -> None:
    """`python -m dibs` prints answers on standard output and refusals on standard error, and exits with the right status."""
    for words, status, prints in (
        (("status", "--json"), 0, (True, False)),
        (("show", "9"), 1, (False, True)),
    ):
        process = shell.start(*words)
        said = process.communicate(timeout=60)
        assert (process.returncode, tuple(map(bool, said))) == (status, prints), said


def test_importing_twice_adds_nothing(shell: Shell) -> None:
    """A second import finds every reference present."""
    again = shell.json("import", "list.json")
    assert (again["added"], again["present"]) == (0, 2)
    assert shell.json("status")["total"] == 2


def test_a_refused_import_adds_nothing(shell: Shell) -> None:
    """A file with one bad feature is refused as a whole, and the refusal names the place."""
    (shell.folder / "bad.json").write_text(
        json.dumps([{"id": 1, "name": "x"}, {"id": 1, "name": "y"}]), encoding="utf-8"
    )
    done = shell.dibs("import", "bad.json")
    assert done.returncode == 2
    assert "Nothing was imported" in done.stderr
    assert shell.json("status")["total"] == 2


@A_FILE
def test_the_backlog_itself_is_not_imported(shell: Shell) -> None:
    """`dibs import` refuses its own database."""
    done = shell.dibs("import", ".dibs/features.db")
    assert done.returncode == 2
    assert "a Dibs database" in done.stderr


def test_status_list_and_show_tell_what_is_there(shell: Shell) -> None:
    """The three views agree with the imported file."""
    assert shell.json("status")["counts"] == {"ready": 1, "pending": 2}
    assert [row["name"] for row in shell.json("list")["features"]] == ["First", "Second"]
    assert [row["id"] for row in shell.json("list", "--text", "B")["features"]] == [2]
    shown = shell.json("show", "2")
    assert (shown["reference"], shown["dependencies"][0]["id"]) == ("B", 1)
    assert shown["history"][0]["events"][0]["kind"] == "create"


@pytest.mark.parametrize("command", [["status"], ["list"], ["show", "1"], ["answer"], ["settings"]])
def test_people_get_words(shell: Shell, command: list[str]) -> None:
    """Without --json every command prints something readable and ends well."""
    done = shell.dibs(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "Traceback" not in done.stderr


def test_looking_makes_no_backlog(empty: Shell) -> None:
    """A command that only reads refuses to create an empty backlog."""
    done = empty.dibs("status")
    assert done.returncode == 1
    assert "There is no backlog at" in done.stderr
    assert list(empty.folder.iterdir()) == []
    if "DIBS_DB" in empty.settings:
        assert by_hand(empty.db, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == []


@A_FILE
def test_another_programs_database_is_left_alone(empty: Shell) -> None:
    """A SQLite file with other tables is refused and stays unchanged."""
    other = empty.folder / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    before = other.read_bytes()
    done = empty.dibs("status", "--db", str(other))
    assert done.returncode == 2
    assert "another program" in done.stderr
    assert other.read_bytes() == before


@A_SERVER
@pytest.mark.parametrize("table", ["projects", "alembic_version"])
def test_another_programs_tables_are_left_alone(empty: Shell, table: str) -> None:
    """A schema with another program's table of the same name is refused, and no table is created in it."""
    by_hand(empty.db, f"CREATE TABLE {table} (version_num text)", f"INSERT INTO {table} VALUES ('theirs')")
    (empty.folder / "list.json").write_text(json.dumps(FEATURES), encoding="utf-8")
    done = empty.dibs("import", "list.json")
    assert done.returncode == 2
    assert "another program" in done.stderr
    assert by_hand(empty.db, f"SELECT * FROM {table}") == [("theirs",)]
    assert by_hand(empty.db, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [(table,)]


@A_SERVER
def test_other_tables_beside_ours_do_no_harm(empty: Shell) -> None:
    """Dibs can share a schema with a program whose tables have other names."""
    by_hand(empty.db, "CREATE TABLE customers (name text)", "INSERT INTO customers VALUES ('theirs')")
    (empty.folder / "list.json").write_text(json.dumps(FEATURES), encoding="utf-8")
    assert empty.json("import", "list.json")["added"] == 2
    assert by_hand(empty.db, "SELECT * FROM customers") == [("theirs",)]


def signed(url: str, user: str | None = None, password: str | None = None) -> str:
    """Return the URL for another user, or with another password."""
    parts = urlsplit(url)
    at = f"{user or parts.username}:{password or parts.password}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=at))


WRONG: dict[str, tuple[Callable[[str], str], int, str]] = {
    "password": (lambda url: signed(url, password="a-wrong-guess"), 2, "DIBS_DB"),
    "user": (lambda url: signed(url, user="nobody-here"), 2, "DIBS_DB"),
    "database": (lambda url: moved(url, {}, "nowhere"), 2, "DIBS_DB"),
    "certificate": (
        lambda url: moved(url, {"sslmode": "verify-full", "sslrootcert": "/nowhere"}),
        2,
        "DIBS_DB",
    ),
    "parameter": (lambda url: moved(url, {"colour": "red"}), 2, "DIBS_DB"),
    "password with a slash": (
        lambda url: signed(url, password="one/half-of-it"),
        75,
        "cannot be reached now",
    ),
    "password with a mark": (lambda url: signed(url, password="one?half-of-it"), 2, "DIBS_DB"),
    "port": (lambda url: moved(url, {}, port=1), 75, "cannot be reached now"),
    "host": (lambda url: moved(url, {"host": "nowhere.invalid"}), 75, "cannot be reached now"),
}


@A_SERVER
@pytest.mark.parametrize(("change", "status", "says"), WRONG.values(), ids=WRONG)
def test_a_server_that_cannot_be_used_is_named_without_the_password(
    empty: Shell, change: Callable[[str], str], status: int, says: str
) -> None:
    """An invalid URL is refused at once with the next step, without a password or a library's words."""
    url = change(empty.db)
    done = empty.dibs("status", DIBS_DB=url, DIBS_PATIENCE="1")
    assert (done.returncode, done.stdout) == (status, "")
    assert says in done.stderr
    assert not re.search(r"not-to-be-told|a-wrong-guess|half-of-it", done.stderr)
    assert not re.search(r"psycopg|sqlalche|libpq|Traceback", done.stderr)


def ask(shell: Shell) -> None:
    """Let an agent ask a question about feature 1, and one to the user."""
    database = open_database(Settings(db=shell.db))
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


def test_answers_are_listed_checked_and_kept(shell: Shell) -> None:
    """`dibs answer` lists questions, refuses an invalid answer, and accepts a valid one."""
    ask(shell)
    assert [one.get("feature_id") for one in shell.json("answer")] == [1, None]
    wrong = shell.dibs("answer", "1", "--set", "colour=green", "--set", "sure=yes")
    assert wrong.returncode == 2
    assert "choose one of red, blue" in wrong.stderr
    right = shell.dibs("answer", "1", "--set", "colour=blue", "--set", "sure=yes")
    assert right.returncode == 0, right.stderr
    assert shell.json("show", "1")["human_answer"]["answers"] == {"colour": "blue", "sure": True}
    assert shell.dibs("answer", "--question", "1", "--cancel").returncode == 0
    assert shell.json("answer") == []
    assert shell.dibs("answer", "1", "--cancel").returncode == 1


def test_answers_are_asked_for_at_the_terminal(shell: Shell) -> None:
    """Without --set the command prompts for each field."""
    ask(shell)
    done = shell.dibs("answer", "1", typed="red\nno\n")
    assert done.returncode == 0, done.stderr
    assert shell.json("show", "1")["human_answer"]["answers"] == {"colour": "red", "sure": False}


def test_settings_are_shown_changed_and_checked(shell: Shell) -> None:
    """`dibs settings` reads and writes one setting, and names an unknown one."""
    assert shell.json("settings")["max_claims"] == 1
    assert shell.json("settings", "max_claims", "3") == {"max_claims": 3}
    assert shell.json("settings", "max_claims") == {"max_claims": 3}
    assert shell.dibs("settings", "max_claims", "0").returncode == 2
    assert shell.dibs("settings", "colour", "red").returncode == 2


def test_the_doctor_says_how_bad_it_is(shell: Shell) -> None:
    """The exit status is that of the worst finding; a new backlog has no findings."""
    found = shell.dibs("doctor", "--json")
    findings = json.loads(found.stdout)["findings"]
    assert found.returncode == max(["ok", "warning", "error"].index(one["level"]) for one in findings)
    assert {one["check"] for one in findings if one["level"] == "error"} <= {UNSYNCED}
    words = shell.dibs("doctor")
    assert words.returncode == found.returncode
    assert all(one["check"] in words.stdout for one in findings)


def test_the_doctor_finds_a_wrong_counter(shell: Shell) -> None:
    """A counter that was changed without Dibs is named, with exit status 2."""
    by_hand(shell.db, "UPDATE features SET unmet_dependencies = 5 WHERE id = 2")
    done = shell.dibs("doctor", "--json")
    assert done.returncode == 2
    wrong = {one["check"]: one["says"] for one in json.loads(done.stdout)["findings"] if one["level"] == "error"}
    assert wrong.keys() - {UNSYNCED} == {"counters"}
    assert "2: 5, counted 1" in wrong["counters"]


def test_an_unknown_setting_in_the_environment_is_named(empty: Shell) -> None:
    """An unknown DIBS_ variable is an error."""
    done = empty.dibs("status", DIBS_LEESE="3")
    assert done.returncode == 2
    assert "DIBS_LEESE" in done.stderr


@A_FILE
@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_worktrees_share_the_backlog_of_their_repository(empty: Shell) -> None:
    """A worktree finds the common root; --isolated gives it its own."""
    main, tree = empty.folder / "main", empty.folder / "tree"
    subprocess.run(["git", "init", "-q", str(main)], check=True)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(main), *identity, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    subprocess.run(["git", "-C", str(main), "worktree", "add", "-q", str(tree)], check=True)
    (main / "list.json").write_text(json.dumps(FEATURES), encoding="utf-8")
    assert empty.dibs("import", "list.json", cwd=main).returncode == 0
    assert empty.json("status", cwd=tree)["database"] == str(main / ".dibs" / "features.db")
    assert empty.dibs("status", "--isolated", cwd=tree).returncode == 1


@pytest.mark.timing
def test_a_follower_reads_every_event_once_and_page_after_page(empty: Shell) -> None:
    """`dibs follow` prints many events without a pause between pages, and continues after any cursor."""
    many = [{**FEATURES[0], "id": str(number), "name": f"Feature {number}", "passes": True} for number in range(450)]
    (empty.folder / "many.json").write_text(json.dumps(many), encoding="utf-8")
    assert empty.dibs("import", "many.json").returncode == 0
    to_the_end = ("follow", "--until-complete", "--json", "--after")

    def followed(cursor: str) -> tuple[list[dict[str, Any]], float]:
        began = time.monotonic()
        done = empty.dibs(*to_the_end, cursor)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()], time.monotonic() - began

    whole, long = followed("0-0")
    assert {event["feature"] for event in whole} == set(range(1, 451))
    assert len({event["id"] for event in whole}) == len(whole)
    assert followed(whole[149]["cursor"])[0] == whole[150:]
    rest, short = followed(whole[-1]["cursor"])
    assert rest == []
    assert long - short < 2, "five pages, with a second between each two"
