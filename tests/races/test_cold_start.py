"""A database that does not exist yet is created once, however many processes open it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from dibs.database import Database, open_database
from dibs.settings import Settings
from foreign import by_hand
from races.backlog import times
from races.servers import StartServer

PROCESSES = 32
SERVERS = 16
OPENERS = Path(__file__).with_name("openers.py")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("projects", [1, 4])
def test_thirty_two_processes_open_a_new_database_at_once(
    new_empty_db: Callable[[], AbstractContextManager[str]], projects: int
) -> None:
    """All of them succeed, with one schema and one row for each project (20 times with DIBS_TEST_LONG=1)."""
    for _ in range(times(1, 20)):
        with new_empty_db() as db:
            command = [sys.executable, str(OPENERS), db, f"{PROCESSES}", f"{projects}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            assert (done.returncode, done.stderr) == (0, "")
            seen = done.stdout.splitlines()
            assert len(seen) == PROCESSES
            assert len(set(seen)) == projects
            assert_made_once(db, projects)


def test_sixteen_servers_start_at_once_on_a_new_database(empty_db: str, start: StartServer) -> None:
    """Servers that create a database at once share one backlog, and log nothing."""
    servers = [start(on=empty_db) for _ in range(SERVERS)]
    feature = {"category": "c", "name": "n", "description": "d", "steps": ["s"], "allow_duplicates": True}
    asked = [(server, server.send("feature_create", **feature)) for server in servers]
    made = [server.answer(request)["ids"][0] for server, request in asked]
    assert sorted(made) == list(range(1, SERVERS + 1))
    assert [(server.finish(), server.log()) for server in servers] == [(0, "")] * SERVERS
    assert_made_once(empty_db, 1)


def assert_made_once(db: str, projects: int) -> None:
    """Assert that the database has this number of projects, one schema and, in a file, the right journal mode."""
    names = by_hand(db, "SELECT count(*), count(DISTINCT name) FROM projects")
    assert names == [(projects, projects)]
    assert len(by_hand(db, "SELECT version_num FROM alembic_version")) == 1
    if "://" not in db:
        assert by_hand(db, "PRAGMA journal_mode") == [("wal",)]
        assert by_hand(db, "PRAGMA integrity_check") == [("ok",)]


def test_a_backlog_of_an_older_schema_is_there(database: Database, db: str) -> None:
    """A process that opens a backlog before the migration of an update finds the backlog."""
    database.read_now(lambda _: None)
    by_hand(db, "UPDATE alembic_version SET version_num = '0001'")
    assert open_database(Settings(db=db)).exists()
