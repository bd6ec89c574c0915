"""A reader that never ends lets the write-ahead log grow: calls stay quick, and the log shrinks after its end."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dibs.database import Database, file_driver
from dibs.database.sqlite.wal import WriteAheadLog
from dibs.database.sqlite.writer_queue import WriterQueue
from races.backlog import LONG, assert_sound, eventually, fill, rule
from races.servers import ServerClient, StartServer

pytestmark = pytest.mark.only_on("sqlite", reason="these faults are those of a file; a server has tests of its own")

MEBI = 1 << 20
GROWN = 1024 * MEBI if LONG else 100 * MEBI
LIMIT = 16 * MEBI
"""The size to which the log shrinks (journal_size_limit)."""
ROUNDS = 40
SLOWER = 4.0
"""The allowed factor by which a call may get slower on a busy machine."""


@contextmanager
def stuck_reader(db: str) -> Iterator[None]:
    """Run a program that reads the database once and does not end its transaction."""
    with closing(file_driver().connect(db, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM features").fetchone()
        yield


def grow(db: str) -> None:
    """Write to the database until the log has `GROWN` bytes, in transactions of one mebibyte."""
    with closing(file_driver().connect(db, isolation_level=None, timeout=30)) as writer:
        writer.execute("PRAGMA synchronous = OFF")
        writer.execute("CREATE TABLE IF NOT EXISTS ballast (load BLOB)")
        while log(db).stat().st_size < GROWN:
            writer.execute(f"INSERT INTO ballast VALUES (randomblob({MEBI}))")


def log(db: str) -> Path:
    """Return the path of the write-ahead log."""
    return Path(f"{db}-wal")


def seconds_of_a_claim(server: ServerClient) -> list[float]:
    """Return how long claims took, in seconds. Each claim is released again."""
    taken = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        claimed = server.call("feature_claim_and_get")
        taken.append(time.monotonic() - began)
        feature, token = claimed["feature"]["id"], claimed["claim"]["token"]
        server.call("feature_clear_in_progress", feature_id=feature, claim_token=token)
    return taken


def doctor(db: str) -> dict[str, Any]:
    """Return the findings of `dibs doctor` about the log."""
    command = [sys.executable, "-m", "dibs", "doctor", "--db", db, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    findings = json.loads(done.stdout)["findings"]
    return next(one for one in findings if one["check"] == "write-ahead log")


@pytest.mark.timing
@pytest.mark.timeout(600)
def test_a_log_that_grew_behind_a_stuck_reader_slows_nobody_and_shrinks_when_it_has_gone(
    database: Database, db: str, start: StartServer
) -> None:
    """Claims stay quick, doctor names the log, and afterwards it is small (100 MiB; 1 GiB with DIBS_TEST_LONG=1)."""
    fill(database, 200)
    rule(database, "max_attempts", 1_000)
    server = start().ready()
    before = seconds_of_a_claim(server)
    with stuck_reader(db):
        grow(db)
        grown = log(db).stat().st_size
        during = seconds_of_a_claim(server)
        assert doctor(db)["level"] == "warning"
        assert log(db).stat().st_size >= GROWN  # nothing could shrink it
    began = time.monotonic()
    first = seconds_of_a_claim(server)
    eventually(lambda: seconds_of_a_claim(server) and log(db).stat().st_size <= LIMIT, within=30)
    print(
        f"\nlog of {grown / MEBI:.0f} MiB: claim {_told(before)} before, {_told(during)} behind the reader, "
        f"{_told(first)} when it had gone; small again after {time.monotonic() - began:.1f} s"
    )
    assert statistics.median(during) < SLOWER * statistics.median(before)
    assert max(first) < 20  # one of the writes copies the log into the file
    assert doctor(db)["level"] == "ok"
    assert_sound(database)


@pytest.mark.timing
def test_a_reader_that_stays_is_waited_for_by_one_at_a_time_and_ever_more_rarely(
    database: Database, db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one process at a time tries to restart the log, and doubles its pause after a failure."""
    monkeypatch.setattr("dibs.database.sqlite.wal.PAUSE", 0.05)
    monkeypatch.setattr("dibs.database.sqlite.wal.WAIT", 0)
    tries: list[str] = []

    def watch(statement: str) -> None:
        if "RESTART" in statement:
            tries.append(statement)

    with closing(file_driver().connect(db, isolation_level=None)) as connection:
        connection.set_trace_callback(watch)
        queues = [WriterQueue(Path(f"{db}.lock")) for _ in range(4)]
        logs = [WriteAheadLog(bytes(log(db)), queue, file_driver(), 5_000) for queue in queues]

        def look(seconds: float) -> int:
            tries.clear()
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                for one, queue in zip(logs, queues, strict=True):
                    queue.enter()
                    one.restart_if_large(connection, before=lambda: None)
                    queue.leave()
                time.sleep(0.001)
            return len(tries)

        fill(database, 1)
        with stuck_reader(db):
            with closing(file_driver().connect(db, isolation_level=None)) as writer:
                writer.execute("CREATE TABLE ballast AS SELECT randomblob(20 * 1048576) AS load")
            first, then = look(1.0), look(1.0)
        assert 3 <= first <= 10, "four who each try after 0.05 s would make 60 tries"
        assert then <= first / 2
        assert look(1.5) >= 1
        with closing(file_driver().connect(db, isolation_level=None)) as writer:
            writer.execute("INSERT INTO ballast SELECT 1")
            frames = writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
        assert frames < 10, "the log was not restarted"
        for queue in queues:
            queue.close()


def _told(taken: list[float]) -> str:
    return f"{statistics.median(taken) * 1e3:.1f} ms (longest {max(taken) * 1e3:.0f})"
