"""A claim is renewed while its holder lives, released at its end, and reaped after its death."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from typing import Any

import pytest

from dibs.database import Database
from dibs_schema.refusals import AlreadyClaimed, Busy, ClaimLost
from races.backlog import assert_sound, events_of, eventually, fill, kinds, reading, row
from races.locks import LOCKS, held, let_go
from races.servers import ServerClient, StartServer, up

LEASE = 2.0
NOISE = 1.0
"""Seconds of delay that are allowed on a loaded machine."""


def claim(server: ServerClient, feature: int = 1) -> str:
    """Claim a feature, and return the token."""
    return str(server.call("feature_mark_in_progress", feature_id=feature)["token"])


def assert_lost(database: Database, server: ServerClient, token: str) -> None:
    """Assert that every tool refuses the token, and that no call changes anything."""
    before = without_lease(database)
    for tool, more in (
        ("feature_mark_passing", {}),
        ("feature_mark_failing", {"reason": "late"}),
        ("feature_skip", {"reason": "late"}),
        ("feature_heartbeat", {"note": "late"}),
        ("feature_clear_in_progress", {}),
    ):
        refusal = server.refusal(tool, feature_id=1, claim_token=token, **more)
        assert isinstance(refusal, ClaimLost), (tool, refusal)
        assert refusal.details["holder"] == before["claimed_by"]
    assert without_lease(database) == before


def without_lease(database: Database) -> dict[str, Any]:
    """Return feature 1 without the columns that renewals change."""
    renewed = ("lease_ends", "lease_expires_at")
    return {name: value for name, value in row(database, 1).items() if name not in renewed}


@pytest.mark.timing
def test_the_feature_of_a_killed_holder_is_free_within_a_lease_and_a_second(
    database: Database, start: StartServer
) -> None:
    """The claim of a dead process expires once, and its token is refused afterwards."""
    fill(database, 1)
    dead, successor = up(start("--lease", f"{LEASE}"), start("--lease", f"{LEASE}"))
    token = claim(dead)
    waiting = successor.send("feature_claim_and_get", wait_seconds=20)
    dead.kill()
    killed = time.monotonic()
    assert successor.answer(waiting)["feature"]["id"] == 1
    assert successor.arrival(waiting) - killed < LEASE + 1 + NOISE
    assert_lost(database, successor, token)
    assert kinds(database, 1) == ["create", "claim", "expire", "claim"]
    assert row(database, 1)["failures"] == 1
    assert_sound(database)


def test_many_reapers_take_a_dead_claim_once(database: Database, start: StartServer) -> None:
    """Each expired claim has one expiry event, however many processes reap at the same time."""
    fill(database, 12)
    dead = start("--lease", "1")
    successors = up(*[start("--lease", "120") for _ in range(4)])
    for feature in range(1, 13):
        claim(dead, feature)
    waiting = [
        (successor, successor.send("feature_claim_and_get", wait_seconds=20))
        for successor in successors
        for _ in range(3)
    ]
    dead.kill()
    taken = [successor.answer(request)["feature"]["id"] for successor, request in waiting]
    assert sorted(taken) == list(range(1, 13))
    assert sum(event["kind"] == "expire" for event in events_of(database)) == 12
    assert_sound(database)


def test_a_holder_that_was_stopped_for_longer_than_its_lease_has_lost(database: Database, start: StartServer) -> None:
    """A process that continues too late does not renew, release or end another agent's claim."""
    fill(database, 1)
    sleeper, successor = up(start("--lease", f"{LEASE}"), start("--lease", "300"))
    token = claim(sleeper)
    stop_between_writes(database, sleeper)
    new = successor.call("feature_claim_and_get", wait_seconds=20)["claim"]["token"]
    sleeper.kill(signal.SIGCONT)
    assert_lost(database, sleeper, token)
    lease = row(database, 1)["lease_ends"]
    time.sleep(LEASE)  # three renewals of the sleeper's
    assert sleeper.finish() == 0
    there = row(database, 1)
    assert (there["claim_token"], there["lease_ends"]) == (new, lease)
    assert kinds(database, 1) == ["create", "claim", "expire", "claim"]


def stop_between_writes(database: Database, server: ServerClient) -> None:
    """SIGSTOP a server just after a renewal, so that it holds no lock while it is stopped."""
    lease = row(database, 1)["lease_ends"]
    eventually(lambda: row(database, 1)["lease_ends"] != lease)
    time.sleep(0.1)
    server.kill(signal.SIGSTOP)


def test_a_lease_is_renewed_for_as_long_as_the_connection_is_open(database: Database, start: StartServer) -> None:
    """No other agent gets a feature whose holder makes no call for several leases."""
    fill(database, 1)
    holder, other = up(start("--lease", "3"), start("--lease", "3"))
    claim(holder)
    assert other.call("feature_claim_and_get", wait_seconds=7)["state"] == "waiting_for_claims"
    assert isinstance(other.refusal("feature_claim_and_get", feature_id=1), AlreadyClaimed)
    assert kinds(database, 1) == ["create", "claim"]
    assert holder.call("feature_mark_passing", feature_id=1)["status"] == "passing"


def test_renewal_stops_when_no_call_is_about_the_feature_any_more(database: Database, start: StartServer) -> None:
    """A claim without calls ends at the hold limit, and each call about its feature keeps it."""
    fill(database, 2)
    holder, successor = up(start("--lease", "3", "--hold-limit", "3"), start("--lease", "120"))
    forgotten = claim(holder, 1)
    claim(holder, 2)
    waiting = successor.send("feature_claim_and_get", wait_seconds=20)
    while not successor.has_answered(waiting):
        holder.call("feature_heartbeat", feature_id=2)
        time.sleep(0.2)
    assert successor.answer(waiting)["feature"]["id"] == 1
    assert kinds(database, 1) == ["create", "claim", "expire", "claim"]
    assert kinds(database, 2) == ["create", "claim"]
    assert_lost(database, holder, forgotten)
    assert holder.call("feature_mark_passing", feature_id=2)["status"] == "passing"


def test_the_end_of_input_gives_every_claim_back(database: Database, start: StartServer) -> None:
    """A client that ends releases its own claims, and no others."""
    fill(database, 3)
    leaver, stayer = start(), start()
    claim(leaver, 1)
    claim(leaver, 2)
    token = claim(stayer, 3)
    assert leaver.finish() == 0
    assert kinds(database, 1) == kinds(database, 2) == ["create", "claim", "release"]
    assert row(database, 1)["status"] == row(database, 2)["status"] == "pending"
    assert row(database, 3)["claim_token"] == token
    assert_sound(database)


@pytest.mark.timing
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_gives_every_claim_back_within_a_second(
    database: Database, start: StartServer, number: signal.Signals
) -> None:
    """A server that gets SIGTERM releases its claims and exits with status 0."""
    fill(database, 1)
    server = start()
    claim(server)
    began = time.monotonic()
    server.kill(number)
    assert server.status() == 0
    assert time.monotonic() - began < 1 + NOISE
    assert kinds(database, 1) == ["create", "claim", "release"]


@pytest.mark.timing
@pytest.mark.parametrize(
    ("number", "lock"), [(signal.SIGTERM, LOCKS[0]), (signal.SIGTERM, LOCKS[1]), (signal.SIGINT, LOCKS[0])]
)
def test_a_signal_ends_a_server_whose_call_waits_for_the_lock(
    database: Database, start: StartServer, db: str, number: signal.Signals, lock: str
) -> None:
    """The server exits within a second with status 0, and the call that it abandons never acts."""
    fill(database, 2)
    server = start()
    claim(server)
    with held(lock, db):
        server.send("feature_mark_in_progress", feature_id=2)
        server.send("feature_mark_passing", feature_id=1)
        time.sleep(0.3)  # both calls wait by now
        began = time.monotonic()
        server.kill(number)
        assert server.status() == 0
        assert time.monotonic() - began < 1 + NOISE
    assert kinds(database, 1) == ["create", "claim"]
    assert kinds(database, 2) == ["create"]
    assert row(database, 2)["status"] == "pending"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lease_that_could_not_be_renewed_for_a_foreign_lock_is_not_reaped_by_who_waited_too(
    engine: str, database: Database, start: StartServer, db: str, lock: str
) -> None:
    """After a lock that outlasted a lease, the live holder renews before another process reaps."""
    fill(database, 2)
    holder, other = up(start("--lease", "3.6"), start("--lease", "3.6"))
    token = claim(holder)
    with held(lock, db) as foreign:
        waiting = other.send("feature_claim_and_get")
        time.sleep(4.5)
        if (engine, lock) != ("postgresql", "queue"):  # there a renewal needs no place in the queue
            assert row(database, 1)["lease_ends"] < reading(database)
        let_go(foreign)
        assert other.answer(waiting)["feature"]["id"] == 2
    assert other.call("feature_claim_and_get", wait_seconds=3)["state"] == "waiting_for_claims"
    assert kinds(database, 1) == ["create", "claim"]
    assert holder.call("feature_mark_passing", feature_id=1, claim_token=token)["status"] == "passing"


@pytest.mark.only_on("sqlite", reason="on PostgreSQL renewals wait for no other writer, only for a lock on the table")
@pytest.mark.parametrize("lock", LOCKS)
def test_a_lease_that_could_not_be_renewed_for_a_foreign_lock_is_not_reaped_by_who_came_last(
    database: Database, start: StartServer, db: str, lock: str
) -> None:
    """Renewals come first after a lock that outlasted a lease: also before claims of servers that started just now.

    One holder makes no calls, calls of another wait, and those of a third have run out of patience.
    """
    fill(database, 3)
    flags = ("--lease", "3", "--patience", "0.9")
    holders = up(*(start(*flags) for _ in range(3)))
    tokens = [claim(holder, number) for number, holder in enumerate(holders, 1)]
    _, waiting, refused = holders
    with held(lock, db) as foreign:
        until = reading(database) + 3.8
        feature = {"category": "c", "name": "n", "description": "d", "steps": ["s"]}
        unanswered = [refused.send("feature_create", **feature) for _ in range(4)]
        while reading(database) < until:
            waiting.send("feature_add_note", feature_id=2, text="still here")
            time.sleep(0.4)
        late = start(*flags).ready()
        claims = [late.send("feature_mark_in_progress", feature_id=number) for number in (1, 2, 3)]
        time.sleep(0.2)
        let_go(foreign)
    for server, request in [(refused, request) for request in unanswered] + [(late, request) for request in claims]:
        with suppress(Busy, AlreadyClaimed):
            server.answer(request)
    for number, (holder, token) in enumerate(zip(holders, tokens, strict=True), 1):
        assert "expire" not in kinds(database, number), number
        assert holder.call("feature_mark_passing", feature_id=number, claim_token=token)["status"] == "passing"


@pytest.mark.timing
@pytest.mark.parametrize("lock", LOCKS)
def test_a_short_lease_is_not_lost_to_one_try_that_failed(
    database: Database, start: StartServer, db: str, lock: str
) -> None:
    """After a renewal that found the database locked the next comes before the lease expires, however short it is."""
    fill(database, 1)
    holder = start("--lease", "1")
    claim(holder)
    with held(lock, db):
        began = time.monotonic()
        time.sleep(0.75)  # the renewal of a third of a second failed at five sixths
    longer = time.monotonic() - began - 0.75
    left = []
    ends = time.monotonic() + 1.5
    while time.monotonic() < ends:
        left.append(row(database, 1)["lease_ends"] - reading(database))
        time.sleep(0.02)
    assert min(left) > -NOISE / 4 - longer
    assert kinds(database, 1) == ["create", "claim"]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_busy_database_loses_no_renewal(database: Database, start: StartServer, db: str, lock: str) -> None:
    """A renewal that finds the database locked is repeated until it succeeds."""
    fill(database, 1)
    holder = start("--lease", "3")
    claim(holder)
    with held(lock, db):
        assert isinstance(start("--patience", "1").refusal("feature_mark_in_progress", feature_id=1), Busy)
        time.sleep(0.6)  # the first renewal was due at one second
        ends = row(database, 1)["lease_ends"]
    eventually(lambda: row(database, 1)["lease_ends"] > ends)
    assert row(database, 1)["lease_ends"] > reading(database)
