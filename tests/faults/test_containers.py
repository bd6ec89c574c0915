"""Leases hold and expire on a volume that containers or boots with different clocks share."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dibs.database import Database
from dibs_proof.storm.wall_clock import WallClock
from dibs_schema.refusals import AlreadyClaimed
from faults.clocks import another_boot, another_time, settable
from races.backlog import assert_sound, fill, kinds, long_form, row
from races.servers import ServerClient, StartServer, up

pytestmark = pytest.mark.only_on("sqlite", reason="a server has one clock for all who use it")

LEASE = 2.0  # seconds
NOISE = 3.0
"""Seconds of delay that are allowed on a loaded machine."""
HOUR = 3600

Elsewhere = Callable[[Path], list[str]]
elsewheres = pytest.mark.parametrize("elsewhere", [another_boot, pytest.param(another_time, marks=long_form)])


def claim(server: ServerClient, feature: int) -> None:
    """Claim a feature for a server that must get it."""
    assert server.call("feature_mark_in_progress", feature_id=feature)["status"] == "in_progress"


@pytest.mark.timing
@elsewheres
def test_a_lease_of_another_boot_holds_while_its_holder_lives_and_runs_out_when_it_is_dead(
    database: Database, start: StartServer, tmp_path: Path, elsewhere: Elsewhere
) -> None:
    """A live holder keeps its claim from agents with another clock; a dead holder loses it after a lease."""
    fill(database, 2)
    prefix = elsewhere(tmp_path)
    lease = ("--lease", f"{LEASE}")
    here, there = up(start(*lease), start(*lease, prefix=prefix))
    claim(here, 1)
    claim(there, 2)
    clocks = {row(database, feature)["lease_clock"] for feature in (1, 2)}
    assert len(clocks) == 2, "the two clocks must not compare"
    time.sleep(1.5 * LEASE)  # the claims have outlasted their first lease
    assert isinstance(here.refusal("feature_mark_in_progress", feature_id=2), AlreadyClaimed)
    assert isinstance(there.refusal("feature_mark_in_progress", feature_id=1), AlreadyClaimed)
    for dead, successor, feature in ((there, here, 2), (here, start(*lease, prefix=prefix), 1)):
        waiting = successor.ready().send("feature_claim_and_get", wait_seconds=20)
        dead.kill(signal.SIGKILL)
        killed = time.monotonic()
        assert successor.answer(waiting)["feature"]["id"] == feature
        assert successor.arrival(waiting) - killed < LEASE + 1 + NOISE
        assert kinds(database, feature) == ["create", "claim", "expire", "claim"]
        successor.call("feature_mark_passing", feature_id=feature)  # so that only the next one expires then
    assert_sound(database)


@pytest.mark.timing
@settable
@pytest.mark.parametrize("jump", [pytest.param(HOUR, id="forward"), pytest.param(-HOUR, id="back", marks=long_form)])
def test_a_jump_of_the_wall_clock_between_two_boots_ends_no_living_lease_and_keeps_no_dead_one(
    database: Database, start: StartServer, tmp_path: Path, jump: int
) -> None:
    """After a jump of the wall clock, live holders of another boot keep their claims, and dead ones lose them."""
    fill(database, 2)
    clock = WallClock(tmp_path)
    prefix = another_boot(tmp_path)
    lease = ("--lease", f"{LEASE}")
    living = start("--lease", f"{8 * LEASE}", prefix=prefix, **clock.environment)
    dead = start(*lease, prefix=prefix, **clock.environment)
    successor = start(**clock.environment)  # with a long lease of its own, so that it judges even on a busy machine
    up(living, dead, successor)
    claim(living, 1)
    claim(dead, 2)
    dead.kill(signal.SIGKILL)
    killed = time.monotonic()
    clock.jump(jump)
    waiting = successor.send("feature_claim_and_get", wait_seconds=30)
    assert successor.answer(waiting)["feature"]["id"] == 2
    assert successor.arrival(waiting) - killed < 2 * LEASE + 1 + NOISE
    assert isinstance(successor.refusal("feature_mark_in_progress", feature_id=1), AlreadyClaimed)
    assert kinds(database, 1) == ["create", "claim"], "a living holder has lost its claim"
    assert living.call("feature_mark_passing", feature_id=1)["status"] == "passing"
