"""`dibs storm` as a command: its verdict, its exit status, and its clean-up."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dibs.database import open_database
from dibs.settings import Settings
from dibs_proof.storm.agent import ServerEnd
from dibs_proof.storm.command import remove
from dibs_proof.storm.plan import Plan
from foreign import by_hand
from races.backlog import fill

pytestmark = pytest.mark.timeout(300)

STORM = [sys.executable, "-m", "dibs", "storm", "--agents", "2"]
SOON_ONE_IS_STOPPED = "6"
"""A seed with which the first server of one of two agents is stopped."""
ON_FILES = pytest.mark.only_on("sqlite", reason="the command line is the same on both; a storm costs seconds")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of a test's storms."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def stormed(*flags: str) -> subprocess.CompletedProcess[str]:
    """Run a short storm to its end."""
    command = [*STORM, "--minutes", "0.05", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@ON_FILES
def test_the_command_tells_the_story_and_leaves_nothing(
    empty_db: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dibs storm --json` prints figures and checks, exits with 0, and removes what it has made."""
    Path(empty_db).parent.mkdir()
    for name, value in (("AGENT", "ada"), ("ROLE", "coder"), ("PROJECT", "mine")):
        monkeypatch.setenv(f"DIBS_{name}", value)  # the storm ignores the settings of agents
    done = stormed("--db", empty_db, "--json")
    report = json.loads(done.stdout)
    mine = {name: found["broken"] for name, found in report["checks"].items()}
    mine["healthy"] = [line for line in mine["healthy"] if not line.startswith("fsync is off")]
    assert not any(mine.values()), mine
    assert done.returncode == (0 if report["holds"] else 1), done.stderr
    assert set(report["ends"]) == {one.value for one in ServerEnd}
    if report["holds"]:
        assert list(temporary.iterdir()) == []
        assert list(Path(empty_db).parent.iterdir()) == []
    else:
        assert f"logs in {temporary}" in done.stderr
        assert list(Path(empty_db).parent.glob("*.db")) != []


def test_what_a_storm_has_made_is_removed_and_nothing_else(db: str, engine: str, tmp_path: Path) -> None:
    """On a server only the rows of the storm's project are removed. A file is removed with its companion files."""
    place = db if engine == "postgresql" else str(tmp_path / "storm.db")
    plan = Plan(place, "storm of then", 1, 2, 1, 1)
    for project in ("mine", plan.project) if engine == "postgresql" else (plan.project,):
        opened = open_database(Settings(db=place, project=project))
        fill(opened, 3)
        opened.close(patience=5)
    remove(plan)
    if engine == "postgresql":
        assert by_hand(place, "SELECT name FROM projects WHERE name <> 'default'") == [("mine",)]
        assert by_hand(place, "SELECT count(*), count(DISTINCT project_id) FROM features") == [(3, 1)]
        assert by_hand(place, "SELECT count(DISTINCT project_id) FROM events") == [(1,)]
    else:
        assert list(tmp_path.iterdir()) == []


@ON_FILES
def test_a_storm_is_refused_where_it_would_make_or_use_what_is_not_its_own(tmp_path: Path, temporary: Path) -> None:
    """An existing file and a missing folder are refused with 2, and nothing is created or removed."""
    there, mistyped = tmp_path / "there.db", tmp_path / "mistyped" / "features.db"
    there.write_text("mine")
    exists, missing = stormed("--db", str(there)), stormed("--db", str(mistyped))
    assert (exists.returncode, missing.returncode) == (2, 2)
    assert "exists already" in exists.stderr
    assert "There is no folder" in missing.stderr
    assert there.read_text() == "mine"
    assert not mistyped.parent.exists()
    assert list(temporary.iterdir()) == []


@ON_FILES
def test_a_storm_begins_with_no_setting_that_its_servers_would_refuse(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that is no setting is named at once, before any server starts."""
    monkeypatch.setenv("DIBS_LEASSE", "9")
    refused = stormed()
    assert refused.returncode == 2
    assert "DIBS_LEASSE is not a setting" in refused.stderr
    assert list(temporary.iterdir()) == []


@ON_FILES
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_storm_that_is_ended_leaves_no_server(tmp_path: Path, temporary: Path, number: signal.Signals) -> None:
    """SIGTERM and SIGHUP remove everything; after any end no server is left, not even a stopped one."""
    db = str(tmp_path / "storm.db")
    flags = ["--minutes", "5", "--db", db, "--seed", SOON_ONE_IS_STOPPED]
    storm = subprocess.Popen([*STORM, *flags], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while "T" not in (states := [state for _, state in servers(db)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        assert "T" in states, "the storm has stopped no server"
        storm.send_signal(number)
        _, report = storm.communicate(timeout=60)
    finally:
        storm.kill()
    status = storm.returncode
    print(report)
    deadline = time.monotonic() + 20
    while (left := list(servers(db))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == [], report
    if number != signal.SIGKILL:
        assert status == 128 + number
        assert not Path(db).exists()
        assert list(temporary.iterdir()) == []


def servers(db: str) -> Iterator[tuple[int, str]]:
    """Return the processes of the database's servers with their states; T is stopped."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if b"serve" in words and db.encode() in words:
                yield int(entry.name), state
