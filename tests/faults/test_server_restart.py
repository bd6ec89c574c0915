"""Servers and claims survive a restart of PostgreSQL, and calls get correct refusals."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from clusters.cluster import Cluster
from clusters.shared import fresh_database
from dibs.database import Database
from dibs.verbs.lease import reap
from dibs_schema.refusals import Busy
from faults.servers import AWAY, NEW, opened, refused_as_away, sessions
from races.backlog import assert_sound, events_of, eventually, fill, kinds, row
from races.servers import ServerClient, StartServer, serving, up

PATIENCE = 2.0
NOISE = 1.5
"""Seconds by which an answer may be late on a loaded machine."""
PROMPT = ("--patience", f"{PATIENCE}")
PATIENT = ("--patience", "20")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A separate server for this module, because it will be stopped and killed."""
    with Cluster(tmp_path_factory.mktemp("restarts") / "primary", max_connections=60) as started:
        yield started


@pytest.fixture
def cluster(running: Cluster) -> Iterator[Cluster]:
    """The separate server, which runs again after the test."""
    yield running
    running.stop("immediate")
    running.start()


@pytest.fixture
def url(running: Cluster, cluster: Cluster) -> Iterator[str]:
    """A new database on that server."""
    with fresh_database(running) as fresh:
        yield fresh
        cluster.stop("immediate")  # the server runs here, so that the database can be dropped
        cluster.start()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """The backlog on that server, opened in this process."""
    with opened(url) as database:
        yield database


@pytest.fixture
def start(url: str) -> Iterator[StartServer]:
    """Start Dibs servers on that database."""
    with serving(url) as starter:
        yield starter


def stop(cluster: Cluster) -> None:
    """Stop the server as an administrator does."""
    cluster.stop("fast")


def kill(cluster: Cluster) -> None:
    """Kill the server, as a crash does."""
    cluster.kill()


@pytest.mark.timing
@pytest.mark.parametrize("end", [stop, kill])
def test_servers_outlive_a_restart(
    cluster: Cluster, url: str, database: Database, start: StartServer, end: Callable[[Cluster], None]
) -> None:
    """While the server is down, writes and reads are refused in time and pings are answered; then everything continues."""
    fill(database, 6)
    holder, other = up(start(*PROMPT), start(*PROMPT))
    mine = holder.call("feature_claim_and_get")
    other.call("feature_claim_and_get")
    other.call("feature_get_by_id", feature_id=1)
    pids = [server.process.pid for server in (holder, other)]
    end(cluster)
    asked = [
        (holder, holder.send("feature_mark_passing", feature_id=1, claim_token=mine["claim"]["token"])),
        (holder, holder.send("feature_get_stats")),
        (holder, holder.send("feature_heartbeat", feature_id=1)),
        (other, other.send("feature_claim_and_get")),
        (other, other.send("feature_get_by_id", feature_id=1)),
        (other, other.send("feature_create", **NEW)),
    ]
    began = time.monotonic()
    pings = []
    while not all(server.has_answered(request) for server, request in asked):
        pings += [holder.timed("ping"), other.timed("ping")]
        assert time.monotonic() - began < PATIENCE + NOISE
        time.sleep(0.05)
    print(f"{len(pings)} pings, the slowest after {max(pings):.3f} s")
    assert max(pings) < 0.5
    for server, request in asked:
        refused_as_away(server, request)
    cluster.start()
    token = mine["claim"]["token"]
    assert holder.call("feature_mark_passing", feature_id=1, claim_token=token)["status"] == "passing"
    assert holder.call("feature_get_stats")["counts"]["passing"] == 1
    assert other.call("feature_claim_and_get")["feature"]["id"] == 3
    assert other.call("feature_create", **NEW)["ids"] == [7]
    assert [server.process.pid for server in (holder, other)] == pids
    assert all(server.process.poll() is None for server in (holder, other))
    assert kinds(database, 1) == ["create", "claim", "pass"]
    assert_sound(database)


def test_connections_do_not_pile_up(cluster: Cluster, url: str, start: StartServer) -> None:
    """After several restarts, with calls between and during them, a server has as many connections as before."""
    server = start(*PATIENT).ready()

    def use() -> None:
        server.call("feature_create", **NEW)
        server.call("feature_get_stats")
        server.call("feature_claim_and_get", category="none", wait_seconds=2)

    use()
    before = len(sessions(url))
    for _ in range(3):
        cluster.stop("fast")
        during = server.send("feature_get_stats")
        time.sleep(0.4)
        cluster.start()
        server.message(during)
        use()
    assert len(sessions(url)) <= before <= 3


def test_a_claim_outlives_an_outage_that_is_shorter_than_its_lease(
    cluster: Cluster, database: Database, start: StartServer
) -> None:
    """After the restart the holder's token works, its lease is renewed, and no other agent gets the feature."""
    fill(database, 1)
    holder, other = up(start(*PATIENT, "--lease", "8"), start(*PATIENT, "--lease", "8"))
    token = holder.call("feature_claim_and_get")["claim"]["token"]
    cluster.stop("fast")
    time.sleep(3)
    cluster.start()
    ends = row(database, 1)["lease_ends"]
    assert other.call("feature_claim_and_get")["state"] == "waiting_for_claims"
    eventually(lambda: row(database, 1)["lease_ends"] > ends)
    assert holder.call("feature_mark_passing", feature_id=1, claim_token=token)["status"] == "passing"
    assert kinds(database, 1) == ["create", "claim", "pass"]


def test_a_lease_that_ran_out_meanwhile_is_renewed_and_not_reaped(
    cluster: Cluster, url: str, database: Database, start: StartServer
) -> None:
    """No holder could renew while the server was down, so holders renew before any process reaps, even a new process."""
    fill(database, 1)
    short = ("--lease", "8")
    holder, other = up(start(*PATIENT, *short), start(*PATIENT, *short))
    token = holder.call("feature_claim_and_get")["claim"]["token"]
    holder.kill(signal.SIGSTOP)  # it cannot be quicker than a process that reaps
    cluster.kill()
    time.sleep(8.5)
    cluster.start()
    with opened(url) as newcomer:
        assert newcomer.write_now(reap) == []
        ends = row(newcomer, 1)["lease_ends"]
        assert newcomer.read_now(lambda tx: tx.now) > ends
    assert other.call("feature_claim_and_get")["state"] == "waiting_for_claims"
    holder.kill(signal.SIGCONT)
    eventually(lambda: row(database, 1)["lease_ends"] > ends)
    assert other.call("feature_claim_and_get")["state"] == "waiting_for_claims"
    assert holder.call("feature_mark_passing", feature_id=1, claim_token=token)["status"] == "passing"
    assert kinds(database, 1) == ["create", "claim", "pass"]


@pytest.mark.timing
def test_who_died_before_the_outage_is_reaped_one_lease_after_it(
    cluster: Cluster, url: str, database: Database, start: StartServer
) -> None:
    """The grace for holders lasts one lease, and a waiting claim wakes at its end without constant polls."""
    fill(database, 1)
    dead, waiter = up(start("--lease", "4"), start(*PROMPT, "--lease", "4"))
    dead.call("feature_claim_and_get")
    dead.kill()
    request = waiter.send("feature_claim_and_get", wait_seconds=30)
    time.sleep(0.5)
    cluster.restart("immediate")
    commits = _commits(cluster, url)
    assert waiter.answer(request)["feature"]["id"] == 1
    commits = _commits(cluster, url) - commits
    came_back = float(cluster.sql("SELECT extract(epoch FROM pg_postmaster_start_time())")[0][0])
    waited = events_of(database, 1)[-1]["at"] - came_back
    print(f"handed on {waited:.2f} s after the return, {commits} transactions later")
    assert 4 < waited < 4 + 2 * NOISE
    assert commits < 100
    assert kinds(database, 1) == ["create", "claim", "expire", "claim"]


def _commits(cluster: Cluster, url: str) -> int:
    name = url.partition("?")[0].rpartition("/")[2]
    (done,) = cluster.sql("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s", (name,))
    return int(done[0])


@pytest.mark.timing
def test_a_waiting_claim_spans_the_outage(cluster: Cluster, start: StartServer) -> None:
    """A waiting claim gets a feature that is created after the restart."""
    waiter, planner = up(start(*PROMPT), start(*PROMPT))
    request = waiter.send("feature_claim_and_get", wait_seconds=40)
    time.sleep(0.5)
    cluster.stop("fast")
    time.sleep(PATIENCE + 1)
    assert not waiter.has_answered(request)
    cluster.start()
    created = planner.send("feature_create", **NEW)
    planner.answer(created)
    assert waiter.answer(request)["feature"]["id"] == 1
    assert waiter.arrival(request) - planner.arrival(created) < NOISE


def test_a_wait_that_ends_in_the_outage_says_so(cluster: Cluster, start: StartServer) -> None:
    """An idle answer from before the outage is not given after it."""
    waiter = start(*PROMPT).ready()
    request = waiter.send("feature_claim_and_get", wait_seconds=2)
    time.sleep(0.5)
    cluster.stop("fast")
    refused_as_away(waiter, request)


@pytest.mark.timing
def test_a_server_ends_at_once_while_the_database_is_away(
    cluster: Cluster, database: Database, start: StartServer
) -> None:
    """SIGTERM ends it with status 0 within a second, although it holds a claim and calls are open."""
    fill(database, 2)
    idle, busy = up(start(), start())
    for server in (idle, busy):
        server.call("feature_claim_and_get")
    cluster.kill()
    busy.send("feature_mark_passing", feature_id=2)
    busy.send("feature_get_stats")
    time.sleep(0.5)
    for server in (idle, busy):
        began = time.monotonic()
        server.kill(signal.SIGTERM)
        assert server.status() == 0
        took = time.monotonic() - began
        print(f"ended after {took:.2f} s")
        assert took < 1.0 + NOISE / 3


@pytest.mark.timing
def test_a_server_that_starts_while_the_database_is_away_works_after_it(
    cluster: Cluster, database: Database, start: StartServer
) -> None:
    """It answers `initialize`, refuses calls in time, and needs no restart."""
    fill(database, 1)
    cluster.stop("fast")
    server = start(*PROMPT)
    began = time.monotonic()
    assert server.message(0)["result"]["serverInfo"]["name"] == "features"
    print(f"greeted after {time.monotonic() - began:.2f} s")
    tools = server.message(server.ask("tools/list"))["result"]["tools"]
    assert len(tools) > 20
    for tool in ("feature_claim_and_get", "feature_get_stats"):
        sent = time.monotonic()
        request = server.send(tool)
        refused_as_away(server, request)
        assert server.arrival(request) - sent < PATIENCE + NOISE
    cluster.start()
    assert server.call("feature_claim_and_get")["feature"]["id"] == 1
    assert server.finish() == 0
    assert kinds(database, 1) == ["create", "claim", "release"]


def test_the_process_itself_reconnects(cluster: Cluster, database: Database) -> None:
    """A process that uses the database without a server is refused in the same way, and continues in the same way."""
    fill(database, 1)
    cluster.stop("fast")
    with pytest.raises(Busy, match=AWAY):
        database.write_now(lambda _: None, patience=0.3)
    cluster.start()
    assert [event["kind"] for event in events_of(database)] == ["create"]


def test_an_idle_server_notices_the_loss_before_it_sends_anything(
    cluster: Cluster, url: str, database: Database, start: StartServer
) -> None:
    """An autocommit claim is not sent over a broken connection, so its outcome is never unknown."""
    fill(database, 9)
    server: ServerClient = start(*PATIENT).ready()
    for number in range(1, 5):
        server.call("feature_claim_and_get")
        cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dibs'")
        eventually(lambda: not sessions(url))
        time.sleep(0.3)  # for their last messages to arrive
        assert server.call("feature_claim_and_get")["feature"]["id"] == 2 * number
    assert len(events_of(database)) == 9 + 8
