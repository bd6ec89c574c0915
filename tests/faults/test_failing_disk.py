"""If the disk fails at any call of a write, the write is refused, and no acknowledged change is lost."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dibs.database import Database, file_driver
from dibs_schema.refusals import DatabaseDamaged, DiskFull, OutcomeUnknown, ReadOnly, Refusal
from dibs_schema.tables import features
from faults.failing_disk import READ, SYNC, TRUNCATE, WRITE, Disk, built
from fuzzing.watching import writes
from races.backlog import LONG, assert_sound, fill, kinds, long_form, row
from races.servers import ServerClient, StartServer, serving

pytestmark = pytest.mark.only_on("sqlite", reason="these faults are those of a file; a server has tests of its own")

NEW = {"category": "c", "name": "n", "description": "d", "steps": ["s"]}
BULK = {"features": [NEW | {"description": "d" * 20_000}] * (60 if LONG else 30)}


_IDS = select(features.c.id)


@dataclass(frozen=True, slots=True)
class Fault:
    """The calls that fail, the error, and the refusal."""

    name: str
    calls: int
    error: int
    refusal: tuple[type[Refusal], ...]


FAULTS = [
    Fault("no-room", WRITE | TRUNCATE, errno.ENOSPC, (DiskFull,)),
    Fault("no-write", WRITE, errno.EIO, (DatabaseDamaged, OutcomeUnknown)),
]


def some_in_short(*faults: Fault) -> pytest.MarkDecorator:
    """Return the given faults, and in a long run all others too."""
    marks = {True: (), False: (long_form,)}
    return pytest.mark.parametrize(
        "fault", [pytest.param(fault, id=fault.name, marks=marks[fault in faults]) for fault in FAULTS]
    )


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes calls fail."""
    return built(tmp_path_factory.mktemp("disk"))


@pytest.fixture
def disk(library: Path, db: str, tmp_path: Path) -> Disk:
    """The disk of the test's database."""
    return Disk(library, Path(db).resolve(), tmp_path / "plan")


@pytest.fixture
def server(start: StartServer, disk: Disk, database: Database) -> ServerClient:
    """A server whose disk can fail, on a backlog with three features."""
    fill(database, 3)
    return start("--lease", "600", **disk.environment).ready()


MOVES: list[tuple[str, dict[str, Any]]] = [
    ("feature_create", NEW),
    ("feature_mark_in_progress", {"feature_id": 1}),
    ("feature_heartbeat", {"feature_id": 1, "note": "half"}),
    ("feature_add_note", {"feature_id": 1, "text": "a note"}),
    ("feature_mark_passing", {"feature_id": 1, "evidence": "it works"}),
    ("feature_claim_and_get", {}),
    ("feature_mark_failing", {"feature_id": 2, "reason": "it does not"}),
    ("feature_skip", {"feature_id": 3, "reason": "later"}),
    ("feature_add_dependency", {"feature_id": 4, "dependency_id": 3}),
    ("feature_update", {"feature_id": 4, "archived": True}),
]
"""Writes that can be made one after the other."""


def refused_until_whole(
    server: ServerClient,
    disk: Disk,
    fault: Fault,
    written: Callable[[], int],
    tool: str,
    arguments: dict[str, Any],
) -> int:
    """Let the disk fail one call later each time until the write succeeds; return the number of refusals."""
    after = 0
    while True:
        before = written()
        with disk.failing(fault.calls, fault.error, after):
            refusal = server.refusal(tool, **arguments)
        if refusal is None:
            return after
        assert isinstance(refusal, fault.refusal), (tool, after, refusal)
        assert disk.failed
        assert written() == before, f"{tool} was refused after {after} calls, and has written"
        after += 1


@some_in_short(FAULTS[0])
def test_a_disk_that_fails_at_any_call_of_a_move_undoes_that_move_alone(
    database: Database, db: str, start: StartServer, disk: Disk, server: ServerClient, fault: Fault
) -> None:
    """A write with a failing call is refused and changes nothing; a later write survives the server's death."""
    with writes(db) as written:
        tried = [refused_until_whole(server, disk, fault, written, *move) for move in MOVES]
    assert min(tried) >= 4
    server.kill()
    after = start()
    assert after.call("feature_get_by_id", feature_id=1)["status"] == "passing"
    assert kinds(database, 1) == ["create", "claim", "heartbeat", "note", "pass"]
    assert [kinds(database, feature) for feature in (2, 3)] == [
        ["create", "claim", "fail"],
        ["create", "skip"],
    ]
    assert row(database, 4)["status"] == "archived"
    assert_sound(database)
    assert_whole(db)


def assert_whole(db: str) -> None:
    """Assert that every page is sound."""
    check = file_driver().connect(db)
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()


@some_in_short(FAULTS[1])
def test_a_disk_that_fails_anywhere_in_long_writes_and_in_moving_the_log_loses_nothing(
    database: Database, db: str, start: StartServer, disk: Disk, server: ServerClient, fault: Fault
) -> None:
    """Failures in large commits and checkpoints lose no acknowledged change."""
    acknowledged, copied = 3, False
    for after in range(0, 1_600, 53 if LONG else 199):
        with disk.failing(fault.calls, fault.error, after):
            refusal = server.refusal("feature_create_bulk", **BULK, allow_duplicates=True)
        copied |= refusal is None and disk.failed > 0  # the commit was made, and the log could not be copied
        acknowledged += len(BULK["features"]) if refusal is None else 0
        assert refusal is None or isinstance(refusal, fault.refusal), (after, refusal)
        assert len(database.read_now(lambda tx: tx.all(_IDS))) == acknowledged
    assert copied or not LONG
    server.kill()
    assert start().call("feature_get_stats")["total"] == acknowledged
    assert_sound(database)
    assert_whole(db)


def doctor(db: str, *options: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Run `dibs doctor`, and return its exit status and its findings by their names."""
    command = [sys.executable, "-m", "dibs", "doctor", "--db", db, "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    findings = json.loads(done.stdout).get("findings", [])
    return done.returncode, {one["check"]: (one["level"], one["says"]) for one in findings}


def test_a_sync_that_fails_stops_every_writer_until_the_database_is_recovered(
    database: Database, db: str, start: StartServer, disk: Disk, server: ServerClient
) -> None:
    """The change whose sync failed is visible; no process builds on it; afterwards its request_id takes effect once."""
    other = start().ready()
    once = NEW | {"request_id": "once"}
    with disk.failing(SYNC, errno.EIO):
        refusal = server.refusal("feature_create", **once)
    assert isinstance(refusal, OutcomeUnknown), refusal
    servers = server, other, start()
    for one in servers:
        assert one.call("feature_get_stats")["total"] == 4
        assert isinstance(one.refusal("feature_claim_and_get"), DatabaseDamaged)
    level, says = doctor(db)[1]["write-ahead log"]
    assert (level, "doctor --recover" in says) == ("error", True)
    assert doctor(db, "--recover")[0] == 75, "the servers have the file open"
    database.close(patience=5)
    for one in servers:
        one.finish()
    assert doctor(db, "--recover")[0] == 0
    after = start()
    assert after.call("feature_create", **once)["ids"] == [4]
    assert after.call("feature_get_stats")["total"] == 4
    assert after.call("feature_claim_and_get", feature_id=4)["feature"]["id"] == 4
    assert_whole(db)


@pytest.mark.parametrize("after", range(6 if LONG else 3))
def test_no_acknowledged_change_is_lost_at_any_sync_that_fails(
    database: Database, db: str, start: StartServer, disk: Disk, server: ServerClient, after: int
) -> None:
    """Syncs of the log, of its header, and of checkpoints fail: what was acknowledged is there after the server's death."""
    acknowledged = 3
    with disk.failing(SYNC, errno.EIO, after):
        for _ in range(4):
            refusal = server.refusal("feature_create_bulk", **BULK, allow_duplicates=True)
            assert refusal is None or isinstance(refusal, OutcomeUnknown | DatabaseDamaged), refusal
            acknowledged += len(BULK["features"]) if refusal is None else 0
    assert disk.failed
    database.close(patience=5)
    server.kill()
    server.process.wait()
    assert doctor(db, "--recover")[0] == 0
    assert acknowledged <= start().call("feature_get_stats")["total"] <= acknowledged + len(BULK["features"])
    assert_whole(db)


def test_a_read_that_fails_is_refused_and_the_next_one_is_served(
    database: Database, start: StartServer, disk: Disk
) -> None:
    """A failing read is refused as `database_damaged`, and the server lives."""
    fill(database, 300)
    database.close(patience=5)
    server = start(**disk.environment).ready()
    with disk.failing(READ, errno.EIO):
        refusal = server.refusal("feature_search", text="secret name 25", limit=50)
        move = server.refusal("feature_mark_in_progress", feature_id=250)
    assert isinstance(refusal, DatabaseDamaged), refusal
    assert isinstance(move, DatabaseDamaged), move
    assert "name 25" in str(server.call("feature_search", text="secret name 25", limit=50))
    assert server.call("feature_mark_in_progress", feature_id=250)["status"] == "in_progress"


MAKING = [(fault, after) for fault in FAULTS for after in range(0, 120, 6)] if LONG else [(FAULTS[1], 3)]


@pytest.mark.parametrize(("fault", "after"), MAKING, ids=lambda value: getattr(value, "name", value))
def test_a_database_whose_making_fails_anywhere_is_made_later(
    library: Path, tmp_path: Path, fault: Fault, after: int
) -> None:
    """A failed creation of a database succeeds in the same server when the disk works again."""
    new = tmp_path / "new.db"
    disk = Disk(library, new, tmp_path / "plan")
    with serving(new) as start, disk.failing(fault.calls, fault.error, after):
        server = start(**disk.environment)
        first = server.refusal("feature_create", **NEW)
        assert first is None or isinstance(first, DiskFull | DatabaseDamaged | OutcomeUnknown | ReadOnly), first
        assert "result" in server.message(server.ask("ping"))
        disk.mend()
        again = server.call("feature_create", **NEW)
        assert again["ids"] == [1 if first else 2]
        assert start().call("feature_get_stats")["total"] == again["ids"][0]
