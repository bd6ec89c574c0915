"""Servers work behind a pooler in transaction mode without any session state."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from clusters.bouncer import bouncer, program
from clusters.cluster import Cluster
from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs_schema.refusals import Busy
from races.backlog import assert_sound, fill, kinds, row
from races.servers import ServerClient, StartServer, serving, up

pytestmark = pytest.mark.skipif(
    program() is None, reason="PgBouncer is not installed (apt-get install pgbouncer; DIBS_TEST_PGBOUNCER)"
)

SESSIONS = 2
"""The number of sessions that all processes share; fewer than the processes."""
AS_GIVEN = {
    "lock_timeout": "0",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_read_only": "off",
    "synchronous_commit": "on",
}
"""The state of a session that another client of the pool gets."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A separate server, whose log has every error."""
    with Cluster(tmp_path_factory.mktemp("pooled") / "primary", fsync="off") as started:
        yield started


@pytest.fixture
def db(cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    """The cluster's database through a pooler in transaction mode, without a backlog."""
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        connection.execute("DROP OWNED BY dibs")
        connection.execute("CREATE SCHEMA IF NOT EXISTS public")
    with bouncer(cluster, tmp_path / "bouncer", default_pool_size=SESSIONS) as url:
        yield url


@pytest.fixture
def backlog(cluster: Cluster, db: str) -> Iterator[Database]:
    """The backlog behind the pooler, read directly."""
    opened = open_database(Settings(db=db))
    opened.read_now(lambda tx: tx.project)
    opened.close(patience=5)
    opened = open_database(Settings(db=cluster.url()))
    yield opened
    opened.close(patience=5)


def errors(cluster: Cluster) -> list[str]:
    """Return the errors in the server's log."""
    return [line for line in cluster.log.read_text().splitlines() if "ERROR:" in line]


def work(server: ServerClient) -> None:
    """Claim and pass until nothing is left."""
    while (answer := server.call("feature_claim_and_get"))["state"] == "claimed":
        server.call("feature_heartbeat", feature_id=answer["feature"]["id"], note="at it")
        server.call("feature_get_history", feature_id=answer["feature"]["id"])
        server.call("feature_mark_passing", feature_id=answer["feature"]["id"])


def test_many_servers_drain_a_backlog_over_few_sessions(
    cluster: Cluster, backlog: Database, start: StartServer
) -> None:
    """Each feature is claimed and passed once, and the server sees no error: no statement is mixed up."""
    fill(backlog, 60)
    before = errors(cluster)
    servers = up(*[start() for _ in range(5)])
    workers = [threading.Thread(target=work, args=[server]) for server in servers]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for feature in range(1, 61):
        assert kinds(backlog, feature) == ["create", "claim", "heartbeat", "pass"]
    assert_sound(backlog)
    assert errors(cluster) == before


@pytest.mark.timing
def test_a_waiting_claim_looks_by_itself(backlog: Database, start: StartServer) -> None:
    """No notification passes the pooler, but a new feature is still claimed after a second or two."""
    waiter, planner = up(start(), start())
    delays = []
    for number in range(1, 4):
        waiting = waiter.send("feature_claim_and_get", wait_seconds=30)
        time.sleep(1.5)
        assert not waiter.has_answered(waiting)
        created = planner.send("feature_create", category="c", name=f"n {number}", description="d", steps=["s"])
        planner.answer(created)
        assert waiter.answer(waiting)["feature"]["id"] == number
        delays.append(waiter.arrival(waiting) - planner.arrival(created))
    print("seconds after the commit:", ", ".join(f"{delay:.2f}" for delay in delays))
    assert max(delays) < 3


def test_leases_are_renewed_and_given_back(backlog: Database, start: StartServer) -> None:
    """A claim outlives its lease while its server runs, is ready again after SIGTERM, and reaped after SIGKILL."""
    fill(backlog, 2)
    stopped, killed, other = up(start("--lease", "4"), start("--lease", "4"), start())
    stopped.call("feature_mark_in_progress", feature_id=1)
    killed.call("feature_mark_in_progress", feature_id=2)
    time.sleep(5)
    assert other.call("feature_claim_and_get")["state"] == "waiting_for_claims"
    stopped.kill(signal.SIGTERM)
    assert stopped.status() == 0
    assert row(backlog, 1)["status"] == "pending"
    assert other.call("feature_claim_and_get")["feature"]["id"] == 1
    killed.kill()
    assert other.call("feature_claim_and_get", wait_seconds=20)["feature"]["id"] == 2
    assert kinds(backlog, 2) == ["create", "claim", "expire", "claim"]


def test_a_stranger_gets_the_session_as_the_server_gives_it(backlog: Database, start: StartServer, db: str) -> None:
    """The next client of a pooled session inherits no setting, no LISTEN and no prepared statement."""
    fill(backlog, 8)
    server = start().ready()
    work(server)
    server.call("feature_claim_and_get", wait_seconds=1)
    for _ in range(2 * SESSIONS):
        with psycopg.connect(db, autocommit=True, prepare_threshold=None) as stranger:
            for name, value in AS_GIVEN.items():
                assert stranger.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,), name
            assert stranger.execute("SELECT count(*) FROM pg_listening_channels()").fetchone() == (0,)
            assert stranger.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


def test_our_own_settings_hold_all_the_same(cluster: Cluster, backlog: Database, start: StartServer) -> None:
    """A write that waits for a lock beyond its patience gets `busy` and frees its session."""
    fill(backlog, 1)
    server = start("--patience", "1").ready()
    with psycopg.connect(cluster.url()) as holder:
        holder.execute("SELECT * FROM projects FOR UPDATE")
        began = time.monotonic()
        assert isinstance(server.refusal("feature_mark_in_progress", feature_id=1), Busy)
        assert time.monotonic() - began < 5
    assert server.call("feature_mark_in_progress", feature_id=1)["status"] == "in_progress"


def test_a_pool_in_session_mode_serves_too(cluster: Cluster, backlog: Database, tmp_path: Path) -> None:
    """In session mode each connection needs its own session, and everything else works in the same way."""
    fill(backlog, 6)
    with (
        bouncer(cluster, tmp_path / "kept", pool_mode="session", default_pool_size=9) as url,
        serving(url) as start,
    ):
        servers = up(*[start() for _ in range(2)])
        for server in servers:
            work(server)
    assert_sound(backlog)
    assert [row(backlog, feature)["status"] for feature in range(1, 7)] == ["passing"] * 6
