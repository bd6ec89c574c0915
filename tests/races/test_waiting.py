"""A claim that waits is answered as soon as there is something to claim, or no reason to wait anymore."""

from __future__ import annotations

import statistics
import time

import pytest

from dibs.database import Database
from races.backlog import events_of, fill, kinds, on_this_clock, row, rule
from races.servers import ServerClient, StartServer, up

PROMISED = 0.25
"""Seconds from a commit in any process to the answer of a claim that waits for it."""
NOISE = 0.75
"""Seconds by which a single answer may be later on a busy machine. Half of the answers must not be later."""


def assert_prompt(delays: list[float]) -> None:
    """Check that half of the answers arrived as promised, and none much later."""
    print("seconds after the event:", ", ".join(f"{delay:.3f}" for delay in delays))
    assert statistics.median_low(delays) < PROMISED, delays
    assert max(delays) < PROMISED + NOISE, delays


def wait_for_work(server: ServerClient, seconds: float = 30) -> int:
    """Send a claim that waits, and return once it does."""
    request = server.send("feature_claim_and_get", wait_seconds=seconds)
    time.sleep(0.4)
    assert not server.has_answered(request)
    return request


@pytest.mark.timing
def test_a_waiting_claim_gets_what_another_process_creates(start: StartServer) -> None:
    """A new feature wakes a waiting claim."""
    waiter, planner = up(start(), start())
    delays = []
    for number in range(1, 5):
        waiting = wait_for_work(waiter)
        created = planner.send("feature_create", category="c", name=f"n {number}", description="d", steps=["s"])
        planner.answer(created)
        assert waiter.answer(waiting)["feature"]["id"] == number
        delays.append(waiter.arrival(waiting) - planner.arrival(created))
    assert_prompt(delays)


@pytest.mark.timing
def test_a_waiting_claim_gets_what_another_process_unblocks(database: Database, start: StartServer) -> None:
    """The pass of the last dependency wakes the claim that waits for the dependent."""
    fill(database, 5, [[], [0], [1], [2], [3]])
    waiter, worker = up(start(), start())
    worker.call("feature_mark_in_progress", feature_id=1)
    delays = []
    for number in range(1, 5):
        waiting = wait_for_work(waiter)
        other = waiter if number > 1 else worker
        passed = other.send("feature_mark_passing", feature_id=number)
        other.answer(passed)
        assert waiter.answer(waiting)["feature"]["id"] == number + 1
        delays.append(waiter.arrival(waiting) - other.arrival(passed))
    assert_prompt(delays)


@pytest.mark.timing
def test_a_waiting_claim_wakes_when_a_lease_runs_out(database: Database, start: StartServer) -> None:
    """A waiting claim gets a dead process's feature when its lease ends, not at a later poll."""
    fill(database, 3)
    waiter = start().ready()
    dead = up(*[start("--lease", f"{lease}") for lease in (1.2, 2.1, 3.4)])
    for number, server in enumerate(dead, 1):
        server.call("feature_mark_in_progress", feature_id=number)
    for server in dead:
        server.kill()
    ends = [on_this_clock(database, row(database, number)["lease_ends"]) for number in range(1, 4)]
    delays = []
    for number in range(1, 4):
        sent = time.monotonic()
        waiting = waiter.send("feature_claim_and_get", wait_seconds=30)
        assert waiter.answer(waiting)["feature"]["id"] == number
        delays.append(waiter.arrival(waiting) - max(ends[number - 1], sent))
    assert min(delays) > 0
    assert_prompt(delays)


@pytest.mark.timing
def test_a_waiting_claim_wakes_when_a_lease_runs_out_amid_the_commits_of_others(
    database: Database, start: StartServer
) -> None:
    """However often others commit, the end of a lease is not overlooked."""
    fill(database, 2)
    waiter, dead, writer = up(start(), start("--lease", "1.2"), start())
    dead.call("feature_mark_in_progress", feature_id=1)
    writer.call("feature_mark_in_progress", feature_id=2)
    dead.kill()
    ends = on_this_clock(database, row(database, 1)["lease_ends"])
    waiting = waiter.send("feature_claim_and_get", wait_seconds=15)
    while not waiter.has_answered(waiting):
        writer.call("feature_add_note", feature_id=2, text="a commit")
        time.sleep(0.02)
    assert waiter.answer(waiting)["state"] == "claimed"
    assert waiter.arrival(waiting) - ends < PROMISED + NOISE


@pytest.mark.timing
def test_a_waiting_claim_wakes_when_a_back_off_ends(database: Database, start: StartServer) -> None:
    """A waiting claim gets a failed feature when its back-off is over, not at a later poll."""
    fill(database, 1)
    rule(database, "back_off", 1)
    rule(database, "max_failures", 99)
    rule(database, "max_same_failures", 99)
    server = start().ready()
    assert_prompt([_seconds_after_back_off(database, server, head_start) for head_start in (0.0, 0.3, 0.6)])


@pytest.mark.timing
def test_a_waiting_claim_wakes_when_a_back_off_ends_while_others_hold_claims(
    database: Database, start: StartServer
) -> None:
    """A claim waits for the end of a lease or of a back-off, whichever is earlier."""
    fill(database, 2)
    rule(database, "back_off", 1)
    rule(database, "max_failures", 99)
    rule(database, "max_same_failures", 99)
    holder, server = up(start("--lease", "120"), start())
    holder.call("feature_mark_in_progress", feature_id=2)
    assert_prompt([_seconds_after_back_off(database, server, head_start) for head_start in (0.3, 0.6)])


def _seconds_after_back_off(database: Database, server: ServerClient, head_start: float) -> float:
    """Fail feature 1 once, and measure how many seconds after its back-off it is claimed."""
    token = server.call("feature_mark_in_progress", feature_id=1)["token"]
    server.call("feature_mark_failing", feature_id=1, claim_token=token, reason="it did not work")
    ready_at = row(database, 1)["not_before"]
    time.sleep(head_start)
    assert time.time() < ready_at
    waiting = server.send("feature_claim_and_get", wait_seconds=8)
    answer = server.answer(waiting)
    late: float = time.time() - ready_at
    assert answer["state"] == "claimed", answer
    server.call("feature_mark_passing", feature_id=1, claim_token=answer["claim"]["token"])
    server.call("feature_mark_failing", feature_id=1, reason="put it back for the next round")
    assert late > 0
    return late


def test_of_many_waiting_claims_one_gets_the_one_new_feature(database: Database, start: StartServer) -> None:
    """One feature wakes many waiting claims, and exactly one gets it."""
    waiters = up(*[start() for _ in range(3)])
    waiting = [(server, server.send("feature_claim_and_get", wait_seconds=3)) for server in waiters for _ in "ab"]
    time.sleep(0.4)
    fill(database, 1)
    answers = [server.answer(request) for server, request in waiting]
    assert sorted(answer["state"] for answer in answers) == ["claimed"] + 5 * ["waiting_for_claims"]
    assert all("feature" not in answer for answer in answers if answer["state"] != "claimed")
    assert kinds(database, 1) == ["create", "claim"]


@pytest.mark.timing
def test_a_waiting_claim_ends_with_the_input_and_an_answer(database: Database, start: StartServer) -> None:
    """A client that ends its input gets the idle answer of its waiting claim at once."""
    server = start().ready()
    waiting = wait_for_work(server, 45)
    began = time.monotonic()
    server.hang_up()
    answer = server.answer(waiting)
    assert answer["state"] == "empty"
    assert "input ended" in answer["message"]
    assert server.arrival(waiting) - began < PROMISED + NOISE
    assert server.status() == 0
    assert events_of(database) == []


@pytest.mark.timing
def test_a_waiting_claim_takes_no_write_lock(database: Database, start: StartServer) -> None:
    """A waiting claim writes nothing and blocks no other process."""
    fill(database, 1)
    holder = start()
    holder.call("feature_mark_in_progress", feature_id=1)
    waiters = [start() for _ in range(2)]
    waiting = [(server, server.send("feature_claim_and_get", wait_seconds=3)) for server in waiters]
    time.sleep(1.5)  # every server has started, and every claim has been tried once
    began = time.monotonic()
    for _ in range(50):
        database.write_now(lambda _: None)
    assert time.monotonic() - began < 1
    assert {server.answer(request)["state"] for server, request in waiting} == {"waiting_for_claims"}
