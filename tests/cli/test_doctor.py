"""`dibs doctor` names each real fault, and repairs only what its options allow."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dibs.cli import commands
from dibs.cli.audit_findings import audit_findings
from dibs.database import Database
from dibs.database.health import HealthCheck
from dibs.database.postgres import health as server_health
from dibs.database.sqlite import health as file_health
from dibs.queries.audit import audit
from foreign import by_hand, connected
from races.backlog import eventually
from races.locks import held
from races.servers import serving
from transfer.backup.commands import program
from verbs.stage import add, alter, board, depend, expire, is_sound, journal, named, row, rule, take

A_FILE = pytest.mark.only_on("sqlite", reason="it is about a file")
A_SERVER = pytest.mark.only_on("postgresql", reason="it is about a server")

UNSYNCED = "durability"
"""The correct findings about the tests' server, which does not sync to disk."""


def doctor(db: str, *flags: str) -> tuple[int, dict[str, HealthCheck], Any]:
    """Run `dibs doctor` in this process, and return its exit status, the findings that are not ok, and its answer."""
    done = CliRunner().invoke(commands, ["doctor", "--db", db, "--json", *flags])
    answer = json.loads(done.stdout)
    if "findings" not in answer:
        return done.exit_code, {}, answer
    findings = [HealthCheck(**one) for one in answer["findings"] if one["check"] != UNSYNCED]
    return done.exit_code, {one.check: one for one in findings if one.level != "ok"}, answer


def examined(database: Database, check: str) -> HealthCheck:
    """Return the findings of the examination in this process."""
    return next(one for one in database.check_health() if one.check == check)


def leases(database: Database, *, nobody_there: bool = False) -> list[HealthCheck]:
    """Return the findings about claims in this process."""
    found = audit_findings(database.read_now(audit), 7200.0, nobody_there=nobody_there)
    return [one for one in found if one.check == "leases"]


def test_counters_and_heights_are_repaired_when_asked(database: Database, db: str) -> None:
    """Without the flag nothing is written; with it counters are right, and an event has each old value."""
    rule(database, order="critical_path")
    one, two, three = add(database, 3)
    depend(database, two, one)
    alter(database, two, unmet_dependencies=0)
    alter(database, three, unmet_dependencies=4, height=9)
    before = board(database)
    status, found, _ = doctor(db)
    assert (status, set(found)) == (2, {"counters", "heights"})
    assert "--repair-counters" in found["counters"].says
    assert f"{two}: 0, counted 1" in found["counters"].says
    assert board(database) == before
    _, found, answer = doctor(db, "--repair-counters")
    assert found == {}
    assert answer["repaired"] == {
        "counters": {str(two): [0, 1], str(three): [4, 0]},
        "heights": {str(three): [9, 0]},
        "areas": {},
        "names": {},
    }
    assert is_sound(database)
    assert (row(database, two)["unmet_dependencies"], row(database, three)["height"]) == (1, 0)
    last = journal(database, two)[-1]
    assert (last["kind"], last["to_status"]) == ("update", None)
    assert last["detail"] == {"repaired": "unmet_dependencies", "kept": 0, "counted": 1}
    assert len(journal(database)) == before["events"] + 3


def test_a_journal_with_a_move_missing_is_found(database: Database, db: str) -> None:
    """A state that agrees with the last event, but not with the transitions before it, is found."""
    (one,) = add(database)
    take(database, named("ada"), one)
    alter(database, one, priority=7)
    database.write_now(lambda tx: None)
    by_hand(db, "UPDATE events SET from_status = 'stuck' WHERE kind = 'claim'")
    found = {each.check: each for each in audit_findings(database.read_now(audit), 7200.0, nobody_there=False)}
    assert found["journal"].level == "ok"
    assert found["replay"].level == "error"
    assert f"{one}: claim from stuck, but it was pending" in found["replay"].says


def test_claims_that_nobody_keeps_up_are_named(database: Database) -> None:
    """Claims that expired long ago, or passed the hold limit, are found; a valid claim is not."""
    one, two, three = add(database, 3)
    for each in (one, two, three):
        take(database, named(f"ada-{each}", session="s"), each)
    assert [found.level for found in leases(database)] == ["ok"]
    expire(database, one)
    alter(database, one, lease_expires_at=time.time() - 1200)
    alter(database, two, last_activity_at=time.time() - 3 * 3600)
    late, idle = leases(database)
    assert (late.level, idle.level) == ("warning", "warning")
    assert f"{one} by ada-{one}: is past the lease, for up to 20 min" in late.says
    assert f"{two} by ada-{two}: is held without a call about it for longer than 2 h" in idle.says


@A_FILE
def test_a_claim_of_a_killed_server_is_named(db: str) -> None:
    """A claim's server is named while it runs; after its kill, the claim has no live holder."""
    with serving(db) as start:
        server = start().ready()
        server.call("feature_create", category="c", name="n", description="d", steps=["s"])
        server.call("feature_mark_in_progress", feature_id=1)
        status, found, answer = doctor(db)
        assert (status, found) == (0, {})
        (servers,) = [one["says"] for one in answer["findings"] if one["check"] == "servers"]
        assert f"pid {server.process.pid} " in servers
        server.kill()
        server.status()
        status, found, _ = doctor(db)
    assert (status, set(found)) == (1, {"leases"})
    assert "no server has the database open" in found["leases"].says


def test_who_holds_the_lock_and_who_waits_is_named(database: Database, db: str) -> None:
    """The holder of the writer queue's lock and a process that waits for it are named."""
    add(database)
    assert examined(database, "lock").level == "ok"
    with serving(db) as start, held("queue", db) as holder:
        server = start().ready()
        waiting = server.send("feature_mark_in_progress", feature_id=1)
        eventually(lambda: examined(database, "lock").level == "warning")
        says = examined(database, "lock").says
        if "://" in db:
            assert "keeps 1 waiting" in says
        else:
            eventually(lambda: "waits" in examined(database, "lock").says)
            says = examined(database, "lock").says
            assert f"pid {holder.pid} " in says
            assert f"pid {server.process.pid} (python" in says
        assert not server.has_answered(waiting)


@A_FILE
def test_who_holds_the_engines_own_lock_is_named(database: Database, db: str) -> None:
    """A foreign program that holds SQLite's lock is named."""
    add(database)
    with held("engine", db) as holder:
        found = examined(database, "lock")
    assert found.level == "warning"
    assert f"pid {holder.pid} (python" in found.says
    assert "write lock" in found.says
    assert examined(database, "lock").level == "ok"


READER = """
import sys
from foreign import connected
with connected(sys.argv[1]) as connection:
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM features").fetchall()
    print("reading", flush=True)
    sys.stdin.read()
"""


@contextmanager
def reader(db: str) -> Iterator[subprocess.Popen[bytes]]:
    """Hold one snapshot in another program until the end of the block."""
    command = [sys.executable, "-c", READER, db]
    with subprocess.Popen(
        command, cwd=Path(__file__).parent.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"reading\n"
        yield process
        process.stdin.close()


@A_FILE
def test_who_keeps_the_log_from_shrinking_is_named(
    database: Database, db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that grew during an endless read is found (here: over four megabytes, to be quick)."""
    monkeypatch.setattr(file_health, "LARGE_WAL", 4 << 20)
    (one,) = add(database)
    with reader(db) as process, connected(db) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for number in range(300):
            connection.execute("UPDATE features SET description = ? WHERE id = ?", [f"{number:05}" * 4_000, one])
        found = examined(database, "write-ahead log")
    assert found.level == "warning"
    assert f"pid {process.pid} (python" in found.says


@A_SERVER
def test_a_forgotten_transaction_is_named(database: Database, db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that has been open for a while (here: a tenth of a second) delays followers."""
    monkeypatch.setattr(server_health, "OLD", 0.1)
    add(database)
    with connected(db) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM projects")
        time.sleep(0.15)
        pid = connection.info.backend_pid
        found = examined(database, "transactions")
    assert found.level == "warning"
    assert f"pid {pid} " in found.says


def test_it_makes_and_migrates_nothing(database: Database, db: str) -> None:
    """A missing project is not created; another schema is named, and the database stays unchanged."""
    add(database)
    database.close(patience=5)
    status, found, answer = doctor(db, "--project", "nobody")
    assert (status, answer["status"], found["database"].level) == (2, 2, "error")
    assert "no project 'nobody'" in found["database"].says
    assert by_hand(db, "SELECT name FROM projects") == [("default",)]
    for version, level, word in (("0001", "warning", "migrates"), ("9999", "error", "Update Dibs")):
        by_hand(db, f"UPDATE alembic_version SET version_num = '{version}'")
        status, found, _ = doctor(db)
        assert set(found) == {"schema"}
        assert (status, found["schema"].level) == (1 if level == "warning" else 2, level)
        assert word in found["schema"].says
        assert by_hand(db, "SELECT version_num FROM alembic_version") == [(version,)]


def test_file_areas_that_do_not_fit_are_found_and_repaired(database: Database, db: str) -> None:
    """File areas that differ from a feature's paths are an error until they are rebuilt."""
    (one,) = add(database, paths=["src", "docs"])
    by_hand(db, "DELETE FROM areas")
    status, found, _ = doctor(db)
    assert (status, set(found)) == (2, {"areas"})
    assert f"{one}: 0, counted 2" in found["areas"].says
    _, found, answer = doctor(db, "--repair-counters")
    assert answer["repaired"]["areas"] == {str(one): [0, 2]}
    assert "areas" not in found


@A_FILE
def test_a_damaged_database_is_not_repaired(database: Database, db: str) -> None:
    """Counters are not repaired while an index differs from its table."""
    one, _ = add(database, 2)
    alter(database, one, unmet_dependencies=3)
    database.close(patience=5)
    with connected(db) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "DELETE FROM sqlite_master WHERE name = 'features_priority'"
        )  # its pages belong to no table or index now
    status, found, answer = doctor(db, "--repair-counters")
    assert (status, set(found)) == (2, {"integrity"})
    assert "Nothing was repaired" in found["integrity"].says
    assert "repaired" not in answer
    assert by_hand(db, "SELECT unmet_dependencies FROM features WHERE id = 1") == [(3,)]


@A_FILE
@pytest.mark.parametrize("damage", ["none", "a page", "a text"])
def test_looking_changes_no_byte_of_what_a_killed_server_left(db: str, damage: str) -> None:
    """A database and its log stay unchanged, sound or damaged."""
    assert program("leave", db).returncode == -signal.SIGKILL
    file, log = Path(db), Path(f"{db}-wal")
    if damage == "a page":
        overwrite(log, b"acknowledged", b"\x00" * 40)
    elif damage == "a text":
        overwrite(file, b"CREATE TABLE features", b"\xff\xfe\xfd")
    before = file.read_bytes(), log.read_bytes()
    assert before[1], "there is a log"
    status, _, _ = doctor(db)
    assert (file.read_bytes(), log.read_bytes()) == before
    assert status in ((0, 1) if damage == "none" else (0, 1, 2))


def overwrite(file: Path, where: bytes, by: bytes) -> None:
    """Overwrite these bytes where they are in the file."""
    content = file.read_bytes()
    place = content.find(where)
    if place >= 0:
        file.write_bytes(content[:place] + by + content[place + len(by) :])
