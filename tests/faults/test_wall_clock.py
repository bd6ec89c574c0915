"""The wall clock jumps by an hour: leases count in a clock that does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dibs.database import Database
from races.backlog import fill, kinds, row, rule
from races.wire import Start, Wire, up

LEASE = 1.5
NOISE = 1.0
HOUR = 3600
LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))

pytestmark = pytest.mark.skipif(not LIBRARIES, reason="needs libfaketime (apt install faketime)")


class Clock:
    """The wall clock of the servers that are started with it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._file.write_text("+0\n")
        self.environment = {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, seconds: int) -> None:
        """Set it so many seconds off the true time, for all servers at once."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """A wall clock that can be set."""
    return Clock(tmp_path / "clock")


@pytest.fixture
def begin(start: Start, clock: Clock) -> Callable[..., Wire]:
    """Start servers that go by that clock."""
    return lambda *flags: start(*flags, **clock.environment)


both_ways = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])


@both_ways
def test_a_live_holder_keeps_its_claim_and_a_dead_one_loses_it(
    database: Database, begin: Callable[..., Wire], clock: Clock, jump: int
) -> None:
    """No lease ends early because the clock was set forward, and none lasts longer because it was set back."""
    fill(database, 3)
    holder, dead, heir = up(begin("--lease", f"{LEASE}"), begin("--lease", f"{LEASE}"), begin())
    for feature, server in ((1, holder), (2, dead)):
        server.call("feature_mark_in_progress", feature_id=feature)
    heir.call("feature_mark_in_progress", feature_id=3)
    waiting = heir.send("feature_claim_and_get", wait_seconds=20)
    dead.kill()
    killed = time.monotonic()
    clock.jump(jump)
    assert heir.answer(waiting)["feature"]["id"] == 2
    assert heir.arrival(waiting) - killed < LEASE + 1 + NOISE
    assert abs(row(database, 2)["claimed_at"] - time.time() - jump) < 60  # the clock did jump
    assert heir.call("feature_claim_and_get", wait_seconds=2)["state"] == "waiting_for_claims"
    assert holder.call("feature_mark_passing", feature_id=1)["status"] == "passing"
    assert kinds(database, 1) == ["create", "claim", "pass"]
    assert kinds(database, 2) == ["create", "claim", "expire", "claim"]


@both_ways
def test_a_claim_that_waits_after_the_jump_gets_what_a_dead_process_held(
    database: Database, begin: Callable[..., Wire], clock: Clock, jump: int
) -> None:
    """A lease that was written before the clock was set is waited for by the clock that it counts in."""
    fill(database, 1)
    dead, heir = up(begin("--lease", f"{LEASE}"), begin())
    dead.call("feature_mark_in_progress", feature_id=1)
    dead.kill()
    killed = time.monotonic()
    clock.jump(jump)
    waiting = heir.send("feature_claim_and_get", wait_seconds=10)
    assert heir.answer(waiting)["state"] == "claimed"
    assert heir.arrival(waiting) - killed < LEASE + 1 + NOISE


@both_ways
def test_a_back_off_does_not_outlast_the_longest_because_the_clock_was_set(
    database: Database, begin: Callable[..., Wire], clock: Clock, jump: int
) -> None:
    """A back-off that lies an hour ahead came from another clock, and is ignored."""
    fill(database, 1)
    rule(database, "back_off", 300)
    server = begin()
    server.call("feature_mark_in_progress", feature_id=1)
    server.call("feature_mark_failing", feature_id=1, reason="it did not work")
    assert server.call("feature_claim_and_get")["state"] == "waiting_for_back_off"
    clock.jump(jump)
    assert server.call("feature_claim_and_get")["state"] == "claimed"
