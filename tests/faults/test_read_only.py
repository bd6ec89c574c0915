"""Calls on a database that cannot be written are refused, and the server lives."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dibs.database import open_database
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput, ReadOnly
from faults.volumes import mount, volume
from races.backlog import fill
from races.servers import ServerClient, serving

pytestmark = pytest.mark.only_on("sqlite", reason="these faults are those of a file; a server has tests of its own")


def a_folder(tmp_path: Path) -> Path:
    """A path that is a folder."""
    return tmp_path


def below_a_file(tmp_path: Path) -> Path:
    """A path whose folder is a file."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "features.db"


@pytest.mark.parametrize("place", [a_folder, below_a_file])
def test_a_path_that_cannot_be_a_file_is_refused(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    """The refusal names the path, and the server continues to answer."""
    path = place(tmp_path)
    with serving(path) as start:
        server = start()
        for tool in ("feature_get_stats", "feature_claim_and_get"):
            refusal = server.refusal(tool)
            assert isinstance(refusal, InvalidInput if place is a_folder else ReadOnly), refusal
            assert str(tmp_path) in refusal.message
        assert "result" in server.message(server.ask("ping"))
        assert server.finish() == 0


@pytest.mark.parametrize("left", ["closed", "killed", "nothing"])
def test_a_read_only_file_system_is_refused(tmp_path: Path, left: str) -> None:
    """Writes get `read_only`, in whatever state the database was left, and no server crashes."""
    with volume(tmp_path / "disk", "4m") as disk, serving(disk / "features.db") as start:
        if left != "nothing":
            leave(start(), disk, killed=left == "killed")
        mount("-o", "remount,ro", str(disk))
        server = start()
        refusal = server.refusal("feature_mark_in_progress", feature_id=1)
        assert isinstance(refusal, ReadOnly), refusal
        assert "result" in server.message(server.ask("ping"))
        mount("-o", "remount,rw", str(disk))
        assert server.call("feature_get_stats")["total"] == (left != "nothing")


def test_doctor_says_that_a_backlog_cannot_be_written(tmp_path: Path) -> None:
    """A read-only database is a warning of `dibs doctor`."""
    with volume(tmp_path / "disk", "4m") as disk, serving(disk / "features.db") as start:
        leave(start(), disk, killed=False)
        assert file_of(disk / "features.db")["level"] == "ok"
        mount("-o", "remount,ro", str(disk))
        told = file_of(disk / "features.db")
        assert (told["level"], "read-only" in told["says"]) == ("warning", True), told


def file_of(db: Path) -> dict[str, str]:
    """Return the finding of `dibs doctor` about the file itself."""
    command = [sys.executable, "-m", "dibs", "doctor", "--db", str(db), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return next(one for one in json.loads(done.stdout)["findings"] if one["check"] == "file")


def leave(server: ServerClient, disk: Path, *, killed: bool) -> None:
    """Make a database with one feature, and end its server."""
    server.call("feature_create", category="c", name="n", description="d", steps=["s"])
    server.kill() if killed else server.hang_up()
    server.process.wait()
    assert (disk / "features.db-wal").exists() == killed


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """Make the path immutable, even for root. Skip the test if the file system has no such flag."""
    done = subprocess.run(["chattr", "+i", path], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs a file system with immutable files: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", path], check=True)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_or_folder_that_may_not_be_written_is_refused(tmp_path: Path, what: str) -> None:
    """Writes get `read_only`, and once it is allowed the same server writes."""
    folder = tmp_path / "folder"
    folder.mkdir()
    db = folder / "features.db"
    database = open_database(Settings(db=str(db)))
    fill(database, 1)
    database.close(patience=5)
    with serving(db) as start:
        with immutable(db if what == "file" else folder):
            server = start()
            refusal = server.refusal("feature_mark_in_progress", feature_id=1)
            assert isinstance(refusal, ReadOnly), refusal
        after = start()
        assert after.call("feature_mark_in_progress", feature_id=1)["status"] == "in_progress"
