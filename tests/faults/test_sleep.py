"""After a machine slept, or all processes were stopped, past the leases, each feature has one holder."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from dibs.database import Database
from dibs_proof.storm.wall_clock import WallClock
from dibs_schema.refusals import AlreadyClaimed, ClaimLost, NotReady
from faults.clocks import settable
from races.backlog import assert_sound, fill, kinds
from races.servers import ServerClient, StartServer, up

LEASE = 2.0
NIGHT = 8 * 3600


def sleep(servers: list[ServerClient], seconds: float) -> None:
    """Stop all servers for some seconds, and continue them at the same moment."""
    for server in servers:
        server.kill(signal.SIGSTOP)
    time.sleep(seconds)
    for server in servers:
        server.kill(signal.SIGCONT)


@settable
@pytest.mark.only_on("sqlite", reason="a server's leases go by a clock of its own machine")
def test_a_laptop_that_slept_for_a_night_wakes_with_its_claims(
    database: Database, start: StartServer, tmp_path: Path
) -> None:
    """The lease clock stops during sleep; a wall clock that is eight hours ahead ends no lease."""
    fill(database, 1)
    clock = WallClock(tmp_path)
    servers = up(start("--lease", "30", **clock.environment), start("--lease", "30", **clock.environment))
    holder, other = servers
    holder.call("feature_mark_in_progress", feature_id=1)
    for server in servers:
        server.kill(signal.SIGSTOP)
    clock.jump(NIGHT)
    for server in servers:
        server.kill(signal.SIGCONT)
    assert isinstance(other.refusal("feature_mark_in_progress", feature_id=1), AlreadyClaimed)
    assert other.call("feature_claim_and_get")["state"] == "waiting_for_claims"
    assert holder.call("feature_mark_passing", feature_id=1)["status"] == "passing"
    assert kinds(database, 1) == ["create", "claim", "pass"]


def test_when_everything_was_stopped_past_a_lease_one_holder_has_the_feature(
    database: Database, start: StartServer
) -> None:
    """If both continue at once, the holder keeps its claim, or the waiter gets it and the holder gets claim_lost."""
    fill(database, 1)
    holder, successor = up(start("--lease", f"{LEASE}"), start("--lease", f"{LEASE}"))
    token = holder.call("feature_mark_in_progress", feature_id=1)["token"]
    waiting = successor.send("feature_claim_and_get", wait_seconds=5)
    sleep([holder, successor], 2 * LEASE)
    passed = holder.refusal("feature_mark_passing", feature_id=1, claim_token=token)
    won = successor.answer(waiting)
    if passed is None:
        assert won["state"] in ("complete", "waiting_for_claims")
        assert kinds(database, 1) == ["create", "claim", "pass"]
    else:
        assert isinstance(passed, ClaimLost | NotReady), passed
        if won["state"] == "claimed":
            assert successor.call("feature_mark_passing", feature_id=1)["status"] == "passing"
        assert kinds(database, 1)[:3] == ["create", "claim", "expire"]
    assert kinds(database, 1).count("pass") <= 1
    assert_sound(database)
