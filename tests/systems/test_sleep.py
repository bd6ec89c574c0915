"""The claims of a machine that sleeps, on the clocks of each system: its calls are simulated, all else is real."""

from __future__ import annotations

from contextlib import closing

import pytest

from dibs.database import Database, open_database
from dibs.database.clock import WALL
from dibs.settings import Settings
from dibs.verbs.claim import mark_in_progress
from dibs.verbs.lease import reap
from dibs.verbs.outcome import mark_passing
from dibs_schema.refusals import AlreadyClaimed
from systems.machine import Machine
from verbs.stage import add, named, refused, row, take

pytestmark = pytest.mark.only_on("sqlite", reason="a server's leases go by its own clock")

LEASE = 120.0
SLEEPS = [600, 3_600, 8 * 3_600]
SYSTEMS = ["linux", "darwin", "win32"]
UNKNOWN = "freebsd15"
"""A system on which only the wall clock is left."""


@pytest.fixture
def machine() -> Machine:
    """A machine that has been running for some time."""
    return Machine()


def opened(db: str) -> closing[Database]:
    """Open the database as another process on the machine does."""
    return closing(open_database(Settings(db=db)))


def assert_held(database: Database) -> None:
    """Assert that the only feature's lease has not expired for this process, which refuses it to another agent."""
    assert database.write_now(reap) == []
    refused(database, AlreadyClaimed, lambda tx: mark_in_progress(tx, named("bob"), 1))


def take_over(database: Database) -> None:
    """Reap the only feature, whose lease must have expired, and claim it."""
    assert database.write_now(reap) == [1]
    take(database, named("bob"))
    assert row(database, 1)["attempts"] == 2


@pytest.mark.parametrize("seconds", SLEEPS)
@pytest.mark.parametrize("platform", SYSTEMS)
def test_a_machine_that_slept_wakes_with_its_claims(
    db: str, machine: Machine, platform: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither who was there before the sleep nor who comes after it gets the holder's feature; the holder passes it."""
    machine.become(platform, monkeypatch)
    with opened(db) as holder, opened(db) as witness:
        add(holder)
        token = take(holder, named("ada", lease=LEASE)).claim.token
        assert row(holder, 1)["lease_clock"] != WALL
        machine.run(LEASE / 2)
        machine.sleep(seconds)
        assert_held(witness)
        with opened(db) as newcomer:
            assert_held(newcomer)
        machine.run(LEASE / 4)
        assert_held(witness)
        holder.write_now(lambda tx: mark_passing(tx, "ada", 1, token))
        assert row(witness, 1)["status"] == "passing"


@pytest.mark.parametrize("platform", SYSTEMS)
def test_a_holder_that_died_loses_its_claim_after_a_lease_without_sleep(
    db: str, machine: Machine, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease lasts its length in the time that the machine is awake, however the wall clock is set meanwhile."""
    machine.become(platform, monkeypatch)
    with opened(db) as dead, opened(db) as successor:
        add(dead)
        take(dead, named("ada", lease=LEASE))
        machine.run(LEASE - 1)
        machine.set_clock(86_400)
        assert_held(successor)
        machine.set_clock(-2 * 86_400)
        machine.run(2)
        take_over(successor)


@pytest.mark.parametrize("platform", SYSTEMS)
def test_a_restart_begins_another_lease_clock(
    db: str, machine: Machine, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart, the leases of the last boot end by the wall clock."""
    machine.become(platform, monkeypatch)
    with opened(db) as before:
        add(before)
        take(before, named("ada", lease=LEASE))
    machine.restart()
    with opened(db) as after:
        assert_held(after)
        machine.run(LEASE)
        take_over(after)


@pytest.mark.parametrize("seconds", SLEEPS)
def test_where_only_the_wall_clock_is_left_a_jump_gives_each_lease_its_full_length_again(
    db: str, machine: Machine, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has seen the jump takes nothing from a holder that slept, and what a dead one held a lease later."""
    machine.become(UNKNOWN, monkeypatch)
    with opened(db) as holder, opened(db) as witness:
        add(holder)
        take(holder, named("ada", lease=LEASE))
        assert row(witness, 1)["lease_clock"] == WALL
        machine.sleep(seconds)
        assert_held(witness)
        machine.run(LEASE - 1)
        assert_held(witness)
        machine.run(2)
        take_over(witness)
