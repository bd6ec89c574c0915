"""While a foreign program holds the lock, reads continue and writes wait."""

from __future__ import annotations

import re
import statistics
import time
from contextlib import suppress

import pytest

from dibs.database import Database
from dibs_schema.refusals import Busy
from races.backlog import eventually, fill, kinds, row, times
from races.locks import LOCKS, held, let_go, name_of
from races.servers import READS, ServerClient, StartServer, up

PROMISED = 0.05
"""Seconds for a ping and for every read while the lock is held."""
NOISE = 0.45
"""Seconds by which a single answer may be later on a busy machine. Half of the answers must not be later."""
LONGER = {("sqlite", "engine"): 5.5}
"""Seconds for which a lock is held: SQLite's own for longer than its busy timeout, other locks for LONG_ENOUGH."""
LONG_ENOUGH = 1.5

QUESTION = {"question": "Which?", "header": "which", "options": ["a", "b"]}


@pytest.mark.timing
@pytest.mark.parametrize("lock", LOCKS)
def test_pings_and_reads_are_answered_while_a_write_waits(
    engine: str, database: Database, start: StartServer, db: str, lock: str
) -> None:
    """No read waits for a lock, and a write is made when the lock is free."""
    fill(database, 60)
    server = start().ready()
    server.call("ask_user", questions=[QUESTION])
    for tool, arguments in READS.items():
        server.call(tool, **arguments)
    with held(lock, db) as foreign:
        began = time.monotonic()
        waiting = server.send("feature_mark_in_progress", feature_id=1)
        while time.monotonic() - began < LONGER.get((engine, lock), LONG_ENOUGH):
            assert_prompt(server)
        assert not server.has_answered(waiting)
        assert row(database, 1)["status"] == "pending"
        let_go(foreign)
        freed = time.monotonic()
    assert server.answer(waiting)["status"] == "in_progress"
    assert server.arrival(waiting) - freed < 1
    assert kinds(database, 1) == ["create", "claim"]


def assert_prompt(server: ServerClient) -> None:
    """Assert that a ping and every tool that reads answer within the promised time."""
    pings = [server.timed("ping") for _ in range(7)]
    assert statistics.median(pings) < PROMISED, pings
    assert max(pings) < PROMISED + NOISE, pings
    for tool, arguments in READS.items():
        looks = [server.timed("tools/call", name=tool, arguments=arguments) for _ in range(5)]
        assert statistics.median(looks) < PROMISED, (tool, looks)
        assert max(looks) < PROMISED + NOISE, (tool, looks)


@pytest.mark.timing
@pytest.mark.parametrize("lock", LOCKS)
def test_a_server_that_starts_under_a_foreign_lock_serves_reads(
    database: Database, start: StartServer, db: str, lock: str
) -> None:
    """A warm start writes nothing, so that it needs no lock either."""
    fill(database, 3)
    with held(lock, db):
        server = start()
        assert server.answer(server.send("feature_get_stats"), within=10)["counts"] == {
            "ready": 3,
            "pending": 3,
        }
        assert_prompt(server)


@pytest.mark.timing
@pytest.mark.parametrize("lock", LOCKS)
def test_a_write_that_runs_out_of_patience_is_busy_and_never_acts(
    database: Database, start: StartServer, db: str, lock: str
) -> None:
    """At its deadline a call is refused as busy, and its abandoned waiter releases the lock unused.

    Where the system shows who holds the lock, the refusal names the process or session.
    """
    fill(database, 3)
    server = start("--patience", "1").ready()
    with held(lock, db) as foreign:
        named = name_of(foreign, db)
        began = time.monotonic()
        asked = [
            server.send("feature_mark_in_progress", feature_id=1),
            server.send("feature_claim_and_get"),
            server.send("feature_create", category="c", name="n", description="d", steps=["s"]),
        ]
        for request in asked:
            with pytest.raises(Busy) as busy:
                server.answer(request)
            assert busy.value.retryable
            if named is not None:
                assert re.fullmatch(named, busy.value.details["holder"])
                assert busy.value.details["holder"] in busy.value.message
            assert 0.9 < server.arrival(request) - began < 2
        let_go(foreign)
    assert server.call("feature_mark_in_progress", feature_id=3)["status"] == "in_progress"  # in order behind them
    assert kinds(database, 1) == kinds(database, 2) == ["create"]
    assert row(database, 1)["status"] == "pending"
    assert server.call("feature_get_stats")["total"] == 3


@pytest.mark.timing
@pytest.mark.parametrize("lock", LOCKS)
def test_waiting_and_patience_together_stay_within_the_wait(
    database: Database, start: StartServer, db: str, lock: str
) -> None:
    """A claim that waits for work is not held up by a lock that it does not need."""
    fill(database, 1)
    start().call("feature_mark_in_progress", feature_id=1)
    server = start("--patience", "1").ready()
    waiting = server.send("feature_claim_and_get", wait_seconds=2)
    time.sleep(0.5)
    with held(lock, db):
        began = time.monotonic()
        with suppress(Busy):  # its last attempt may find the lock taken
            assert server.answer(waiting)["state"] == "waiting_for_claims"
        assert server.arrival(waiting) - began < 4


@pytest.mark.parametrize("lock", LOCKS)
def test_a_cancelled_claim_behind_a_lock_is_never_made(
    database: Database, start: StartServer, db: str, lock: str
) -> None:
    """A call that was cancelled while it waited for the lock does nothing when the lock is free."""
    fill(database, 3)
    server = start().ready()
    with held(lock, db) as foreign:
        taken_back = [
            server.send("feature_mark_in_progress", feature_id=1),
            server.send("feature_claim_and_get", feature_id=2),
        ]
        time.sleep(0.3)  # one waits for the lock, the other waits behind the first
        for request in taken_back:
            server.cancel(request)
        server.message(server.ask("ping"))  # the notifications were read
        let_go(foreign)
    server.call("feature_mark_in_progress", feature_id=3)
    assert kinds(database, 1) == kinds(database, 2) == ["create"]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_claim_whose_client_has_gone_is_given_back(
    database: Database, start: StartServer, db: str, lock: str
) -> None:
    """A claim whose answer cannot be delivered is undone, whether it was made or not."""
    fill(database, 1)
    server = start().ready()
    with held(lock, db) as foreign:
        server.send("feature_mark_in_progress", feature_id=1)
        time.sleep(0.2)
        server.vanish()
        let_go(foreign)
        assert server.status() == 0
    assert row(database, 1)["status"] == "pending"
    assert kinds(database, 1) in (["create"], ["create", "claim", "release"])


@pytest.mark.parametrize("lock", LOCKS)
def test_what_was_asked_before_the_end_of_input_is_answered_and_then_given_back(
    database: Database, start: StartServer, db: str, lock: str
) -> None:
    """A call that waits for the lock at the end of input takes effect and is answered; its claim is released."""
    fill(database, 1)
    server = start().ready()
    with held(lock, db) as foreign:
        waiting = server.send("feature_mark_in_progress", feature_id=1)
        server.hang_up()
        time.sleep(0.3)
        let_go(foreign)
    assert server.answer(waiting)["status"] == "in_progress"
    assert server.status() == 0
    assert kinds(database, 1) == ["create", "claim", "release"]


def test_a_claim_that_is_cancelled_at_any_moment_is_held_by_nobody_who_does_not_know(
    database: Database, start: StartServer
) -> None:
    """A claim's answer is read by the client, or the claim is released."""
    batches, size = times(20, 60), 6
    fill(database, batches * size)
    server, other = up(start("--lease", "60"), start())
    usual = usual_seconds_of_a_write(server)
    outcomes = {True: 0, False: 0}
    for batch in range(batches):
        features = range(batch * size + 1, (batch + 1) * size + 1)
        claims = {n: server.send("feature_mark_in_progress", feature_id=n) for n in features}
        time.sleep(size * usual * (batch % 20) / 20)
        for claim in claims.values():
            server.cancel(claim)
        server.call("feature_get_stats")
        server.call("feature_add_note", feature_id=1, text="a write that comes after the claims")
        for feature, claim in claims.items():
            knows = server.has_answered(claim)
            outcomes[knows] += 1
            if knows:
                assert row(database, feature)["claim_token"] == server.answer(claim)["token"]
            else:
                eventually(lambda n=feature: row(database, n)["status"] == "pending")  # type: ignore[misc]  # mypy infers no default
                other.call("feature_mark_in_progress", feature_id=feature)
            holder = server if knows else other
            holder.call("feature_mark_passing", feature_id=feature)
    print(f"{outcomes[True]} answered, {outcomes[False]} cancelled in time")
    assert outcomes[True], "no claim was answered: the test cancels too early to say anything"
    assert outcomes[False], "no claim was cancelled: the test cancels too late to say anything"


def usual_seconds_of_a_write(server: ServerClient) -> float:
    """Return how long a small write takes at present."""
    note = {"feature_id": 1, "text": "a commit"}
    return statistics.median(server.timed("tools/call", name="feature_add_note", arguments=note) for _ in range(9))
