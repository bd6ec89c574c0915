"""With foreign locks on the server, deadlocks are retried, and an idle transaction loses its lock."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import psycopg
import pytest

from clusters.shared import Server, fresh_database
from clusters.urls import moved
from dibs.database import Database
from faults.servers import NEW, opened, sessions, until_one_waits
from races.backlog import assert_sound, eventually, fill, kinds
from races.servers import StartServer, serving, up

LOCK = "SELECT id FROM features WHERE id = %s FOR UPDATE"
STANDSTILL = 4.0
"""Seconds after which the server ends an idle transaction in this test."""


@pytest.fixture
def db(postgres: Server, migrated: str) -> Iterator[str]:
    """A fresh database on the shared server."""
    with fresh_database(postgres, migrated) as url:
        yield url


def deadlocks(db: str) -> int:
    """Return how many deadlocks the server has broken in this database."""
    with psycopg.connect(db, autocommit=True) as connection:
        query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        row = connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])


def test_a_deadlock_never_reaches_a_client(db: str, database: Database, start: StartServer) -> None:
    """A pass that becomes the victim of a deadlock with a foreign program is retried, and made once."""
    fill(database, 2, [[], [0]])
    server = start().ready()
    token = server.call("feature_claim_and_get")["claim"]["token"]
    with psycopg.connect(db) as foreign:
        foreign.execute(LOCK, (2,))
        request = server.send("feature_mark_passing", feature_id=1, claim_token=token)
        until_one_waits(db)  # it has locked the first feature, and waits for its dependent
        foreign.execute(LOCK, (1,))  # returns when the server has broken the deadlock
        assert not server.has_answered(request)
    assert server.answer(request)["unblocked"] == [2]
    eventually(lambda: deadlocks(db) == 1)
    assert kinds(database, 1) == ["create", "claim", "pass"]
    assert_sound(database)


def test_who_stands_still_in_a_transaction_does_not_hold_the_others_up(db: str, database: Database) -> None:
    """The server ends its transaction in time for the others. When it continues, its call is still made once."""
    fill(database, 2)
    with serving(moved(db, {"options": f"-c idle_in_transaction_session_timeout={STANDSTILL:.0f}s"})) as start:
        stopped, other = up(start(), start())
        token = stopped.call("feature_claim_and_get")["claim"]["token"]
        with psycopg.connect(db) as foreign:
            foreign.execute(LOCK, (1,))
            request = stopped.send("feature_mark_passing", feature_id=1, claim_token=token)
            until_one_waits(db)
            stopped.kill(signal.SIGSTOP)
        eventually(lambda: sessions(db, "state = 'idle in transaction'"))
        began = time.monotonic()
        assert other.call("feature_create", **NEW)["ids"] == [3]
        held_up = time.monotonic() - began
        print(f"held up for {held_up:.1f} s")
        assert STANDSTILL / 2 < held_up < STANDSTILL + 3
        stopped.kill(signal.SIGCONT)
        assert stopped.answer(request)["status"] == "passing"
    assert kinds(database, 1) == ["create", "claim", "pass"]
    assert_sound(database)


def test_the_servers_own_limit_is_below_the_patience_of_others(db: str) -> None:
    """A transaction may be idle for 15 s, and a call waits for 20 s. A longer limit of the server is lowered."""
    lazy = moved(db, {"options": "-c idle_in_transaction_session_timeout=10min -c statement_timeout=0"})
    for url in (db, lazy):
        with opened(url) as database:
            assert limit(database, "idle_in_transaction_session_timeout") == "15s"
            assert limit(database, "statement_timeout") == "30s"


def limit(database: Database, name: str) -> str:
    """Return a setting of the database's own session."""
    return database.read_now(lambda tx: str(tx.connection.exec_driver_sql(f"SHOW {name}").scalar_one()))
