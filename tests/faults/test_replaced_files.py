"""If files are deleted or replaced under running servers, no server writes to the wrong file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dibs.database import Database, file_driver, open_database
from dibs.mcp.resources.watcher import TROUBLED
from dibs.settings import Settings
from dibs_schema.operations import BY_TOOL
from dibs_schema.refusals import DatabaseReplaced, ReadOnly, Refusal
from foreign import connected
from races.backlog import assert_sound, fill, kinds, rule
from races.servers import READS, ServerClient, StartServer, serving, up
from tools.listening import ERAS, UPDATED, listening

pytestmark = pytest.mark.only_on("sqlite", reason="these faults are those of a file; a server has tests of its own")

WRITES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("feature_mark_in_progress", {"feature_id": 2}),
    ("feature_mark_passing", {"feature_id": 1}),
    ("feature_add_note", {"feature_id": 1, "text": "a note"}),
    ("feature_create", {"category": "c", "name": "n", "description": "d", "steps": ["s"]}),
    ("feature_claim_and_get", {"wait_seconds": 1}),
)
RESOURCES = ("feature://1", *(f"features://{name}" for name in ("stats", "overview", "ready", "graph", "events")))


def filled(db: str, count: int) -> str:
    """Make a database with the given number of features, which no process has open."""
    database = open_database(Settings(db=db))
    fill(database, count)
    database.close(patience=5)
    return db


def digests(*files: object) -> list[str]:
    """Return digests of the files, which this process must not have open with SQLite."""
    return [sha256(Path(str(file)).read_bytes()).hexdigest() for file in files]


def assert_replaced(server: ServerClient) -> None:
    """Assert that every write and every read is refused, however often it is repeated."""
    for tool, arguments in (*WRITES, *READS.items()):
        refusal = server.refusal(tool, **arguments)
        assert isinstance(refusal, DatabaseReplaced), (tool, refusal)
        assert not refusal.retryable
    for uri in RESOURCES:
        assert "was deleted or replaced" in server.message(server.ask("resources/read", uri=uri))["error"]["message"]


def test_every_tool_that_reads_is_among_them() -> None:
    """A new tool that reads must not go on from a deleted file either."""
    assert {name for name, operation in BY_TOOL.items() if operation.reads} <= set(READS)


def delete(db: Path) -> list[Path]:
    """Delete the database as `rm -r .dibs` does."""
    for name in (db, f"{db}-wal", f"{db}-shm"):
        Path(name).unlink()
    return []


def delete_log(db: Path) -> list[Path]:
    """Delete the write-ahead log alone."""
    Path(f"{db}-wal").unlink()
    return [db]


def replace_by_another(db: Path) -> list[Path]:
    """Replace the database by another backlog, as `git checkout` or a copy of a folder does."""
    other = filled(f"{db}.other", 5)
    delete(db)
    Path(other).replace(db)
    return [db]


def replace_by_backup(db: Path) -> list[Path]:
    """Replace the database by a backup of the same backlog."""
    connection = file_driver().connect(f"{db}")
    connection.execute("VACUUM INTO ?", [f"{db}.backup"])
    connection.close()
    delete(db)
    Path(f"{db}.backup").replace(db)
    return [db]


@pytest.mark.parametrize("fault", [delete, replace_by_another, replace_by_backup])
def test_nothing_is_written_once_the_database_was_deleted_or_replaced(
    db: str, start: StartServer, fault: Callable[[Path], list[Path]]
) -> None:
    """Writes get `database_replaced`; the old and the new file stay unchanged, even when servers end."""
    filled(db, 5)
    servers = up(start("--lease", "1"), start("--lease", "1"))
    servers[0].call("feature_mark_in_progress", feature_id=1)
    os.link(db, f"{db}.orphan")
    os.link(f"{db}-wal", f"{db}.orphan-wal")
    with connected(db) as lock:
        lock.execute("BEGIN IMMEDIATE")  # a renewal that began before the fault must not end after it
        new = fault(Path(db))
    kept = digests(f"{db}.orphan", f"{db}.orphan-wal", *new)
    for server in servers:
        assert_replaced(server)
    time.sleep(0.7)  # two renewals
    assert [server.finish() for server in servers] == [0, 0]
    assert digests(f"{db}.orphan", f"{db}.orphan-wal", *new) == kept
    assert Path(db).exists() == bool(new)
    if new:
        assert start().call("feature_get_stats")["counts"]["pending"] in (4, 5)


def test_whoever_waits_or_follows_learns_that_the_database_was_deleted(db: str, start: StartServer) -> None:
    """A waiting claim, `dibs follow` and a subscriber do not wait for a change of a file that nobody changes."""
    filled(db, 1)
    other = start().ready()
    other.call("feature_mark_in_progress", feature_id=1)
    waiting = other.send("feature_claim_and_get", wait_seconds=45)
    command = [sys.executable, "-m", "dibs", "follow", "--db", db, "--after", "0-0"]
    with (
        listening(db, ERAS[0]) as listener,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower,
    ):
        assert follower.stdout is not None
        assert "create" in follower.stdout.readline()
        listener.subscribe("features://stats")
        delete(Path(db))
        with pytest.raises(DatabaseReplaced):
            other.answer(waiting, within=20)
        errors = follower.communicate(timeout=20)[1]
        assert follower.returncode not in (0, 75)
        assert "was deleted or replaced" in errors
        assert listener.wait_until(lambda: any(one["method"] == UPDATED for _, one in listener.told))
        time.sleep(2 * TROUBLED)
        assert len(listener.told) == 1
        assert "was deleted or replaced" in listener.get("resources/read", uri="features://stats")["message"]


@pytest.mark.parametrize("again", [False, True])
def test_a_folder_that_was_deleted_is_a_replaced_database(tmp_path: Path, again: bool) -> None:
    """`rm -r .dibs` below servers, and a new folder in its place, get `database_replaced`: also before the first write."""
    db = tmp_path / ".dibs" / "features.db"
    db.parent.mkdir()
    filled(str(db), 3)
    with serving(db) as start:
        servers = up(start(), start())
        servers[0].call("feature_mark_in_progress", feature_id=1)
        assert servers[1].call("feature_get_stats")["total"] == 3
        shutil.rmtree(db.parent)
        if again:
            db.parent.mkdir()
        for server in servers:
            assert_replaced(server)
        assert [server.finish() for server in servers] == [0, 0]
    assert not db.exists()


def test_nothing_is_written_once_the_log_was_deleted(db: str, start: StartServer) -> None:
    """Without its log the database takes no more writes, and no acknowledged change is lost."""
    filled(db, 5)
    server = start().ready()
    server.call("feature_mark_in_progress", feature_id=1)
    server.call("feature_mark_passing", feature_id=1)
    delete_log(Path(db))
    assert_replaced(server)
    assert not Path(f"{db}-wal").exists()
    assert server.finish() == 0
    assert start().call("feature_get_by_id", feature_id=1)["status"] == "passing"


def test_a_database_that_was_deleted_before_the_first_call_is_not_made_again(db: str, start: StartServer) -> None:
    """A server that has opened its database never creates another in its place."""
    filled(db, 3)
    server = start().ready()
    delete(Path(db))
    refusal = server.refusal("feature_mark_in_progress", feature_id=1)
    assert isinstance(refusal, DatabaseReplaced | ReadOnly), refusal
    assert not Path(db).exists()
    assert server.finish() == 0
    assert not Path(db).exists()


@pytest.mark.parametrize("replacement", ["nothing", "a new file"])
def test_each_feature_has_one_winner_while_the_lock_file_comes_and_goes(
    database: Database, db: str, start: StartServer, replacement: str
) -> None:
    """The writer queue is only for fairness; without it claims are still exclusive."""
    count = 120
    fill(database, count)
    rule(database, "max_claims_per_connection", count)
    servers = up(*[start() for _ in range(3)])
    over = threading.Event()

    def harass() -> None:
        lock_file = Path(f"{db}.lock")
        while not over.is_set():
            lock_file.unlink(missing_ok=True)
            if replacement == "a new file":
                lock_file.with_suffix(".new").touch()
                lock_file.with_suffix(".new").replace(lock_file)
            time.sleep(0.001)

    def claim_all(server: ServerClient) -> list[int]:
        refusals = {n: server.refusal("feature_mark_in_progress", feature_id=n) for n in range(1, count + 1)}
        assert {refusal.code for refusal in refusals.values() if refusal} <= {"already_claimed"}
        return [n for n, refusal in refusals.items() if refusal is None]

    with ThreadPoolExecutor(4) as pool:
        harassing = pool.submit(harass)
        try:
            won = [n for wins in pool.map(claim_all, servers) for n in wins]
        finally:
            over.set()
        harassing.result()
    assert Counter(won) == Counter(range(1, count + 1))
    assert all(kinds(database, n) == ["create", "claim"] for n in range(1, count + 1))
    assert_sound(database)


def test_a_lock_file_that_cannot_be_opened_is_named(db: str, start: StartServer) -> None:
    """A folder where the lock file should be is refused as `read_only`, and reads go on."""
    filled(db, 1)
    Path(f"{db}.lock").unlink()
    Path(f"{db}.lock").mkdir()
    server = start()
    assert server.call("feature_get_stats")["total"] == 1
    assert isinstance(server.refusal("feature_mark_in_progress", feature_id=1), Refusal)
    Path(f"{db}.lock").rmdir()
    assert server.call("feature_mark_in_progress", feature_id=1)["status"] == "in_progress"
