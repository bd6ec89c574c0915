"""A database that does not exist yet is made once, however many make it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import update

from dibs.database import Database, file_driver, open_database
from dibs.database.projects import schema_versions
from dibs.settings import Settings
from races.backlog import times

PROCESSES = 32
OPENERS = Path(__file__).with_name("openers.py")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("projects", [1, 4])
def test_thirty_two_processes_open_a_new_database_at_once(tmp_path: Path, projects: int) -> None:
    """All of them succeed, with one schema and one row for each project (20 times with DIBS_TEST_LONG=1)."""
    for attempt in range(times(3 if projects == 1 else 1, 20)):
        db = str(tmp_path / f"new-{attempt}" / "features.db")
        command = [sys.executable, str(OPENERS), db, f"{PROCESSES}", f"{projects}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        seen = done.stdout.splitlines()
        assert len(seen) == PROCESSES
        assert len(set(seen)) == projects
        connection = file_driver().connect(db)
        names = connection.execute("SELECT count(*), count(DISTINCT name) FROM projects").fetchall()
        assert names == [(projects, projects)]
        assert len(connection.execute("SELECT version_num FROM alembic_version").fetchall()) == 1
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


def test_a_backlog_of_an_older_schema_is_there(database: Database, db: str) -> None:
    """Whoever asks for a backlog before the first migration of an update is not told that there is none."""
    database.write_now(lambda tx: tx.run(update(schema_versions).values(version_num="0001")))
    assert open_database(Settings(db=db)).exists()
