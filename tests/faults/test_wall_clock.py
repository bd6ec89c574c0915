"""Leases do not depend on jumps of the wall clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dibs.database import Database
from dibs_proof.storm.wall_clock import WallClock
from faults.clocks import settable
from races.backlog import fill, kinds, row, rule
from races.servers import ServerClient, StartServer, up

LEASE = 3.0  # long enough that a busy machine renews live claims in time
NOISE = 1.0
HOUR = 3600

pytestmark = [
    pytest.mark.only_on("sqlite", reason="these faults are those of a file; a server has tests of its own"),
    settable,
]


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    """A wall clock that can be set."""
    return WallClock(tmp_path)


@pytest.fixture
def begin(start: StartServer, clock: WallClock) -> Callable[..., ServerClient]:
    """Start servers that use that wall clock."""
    return lambda *flags: start(*flags, **clock.environment)


def test_a_jump_of_the_wall_clock_ends_no_lease_and_prolongs_none(
    database: Database, begin: Callable[..., ServerClient], clock: WallClock
) -> None:
    """During jumps of the wall clock live holders keep their claims, and dead holders lose them in time."""
    fill(database, 3)
    dead = [begin("--lease", f"{LEASE}"), begin("--lease", f"{LEASE}")]
    holder, successor, *dead = up(begin("--lease", f"{8 * LEASE}"), begin(), *dead)
    for feature, server in enumerate([holder, *dead], 1):
        server.call("feature_mark_in_progress", feature_id=feature)
    for feature, (server, jump) in enumerate(zip(dead, (HOUR, -HOUR), strict=True), 2):
        server.kill()
        killed = time.monotonic()
        clock.jump(jump)
        waiting = successor.send("feature_claim_and_get", wait_seconds=10)
        assert successor.answer(waiting)["feature"]["id"] == feature
        assert successor.arrival(waiting) - killed < LEASE + 1 + NOISE
        assert abs(row(database, feature)["claimed_at"] - time.time() - jump) < 60  # the clock did jump
        assert kinds(database, feature) == ["create", "claim", "expire", "claim"]
    assert successor.call("feature_claim_and_get")["state"] == "waiting_for_claims"
    assert kinds(database, 1) == ["create", "claim"]
    assert holder.call("feature_mark_passing", feature_id=1)["status"] == "passing"


def test_a_back_off_does_not_outlast_the_longest_because_the_clock_was_set(
    database: Database, begin: Callable[..., ServerClient], clock: WallClock
) -> None:
    """A back-off that lies an hour ahead came from another clock, and is ignored."""
    fill(database, 1)
    rule(database, "back_off", 300)
    server = begin()
    for jump in (HOUR, 0):  # forward, and back again
        token = server.call("feature_mark_in_progress", feature_id=1)["token"]
        server.call("feature_mark_failing", feature_id=1, claim_token=token, reason="it did not work")
        assert server.call("feature_claim_and_get")["state"] == "waiting_for_back_off"
        clock.jump(jump)
        token = server.call("feature_claim_and_get")["claim"]["token"]
        server.call("feature_clear_in_progress", feature_id=1, claim_token=token)
