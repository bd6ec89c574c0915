"""A power cut damages no database; under FULL no acknowledged change is lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from faults.power import Recording, record
from faults.recording import Event, Made, Removed, Written, why_not
from races.backlog import times

pytestmark = pytest.mark.timeout(times(120, 1800))
ROUNDS = times(1, 8)
"""How often each moment is tested, each time with other lost writes."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder in which servers are recorded."""
    if reason := why_not():
        pytest.skip(reason)
    return tmp_path


def recording(root: Path, ends: Sequence[str], *flags: str, **pragmas: str) -> Recording:
    """Servers at work, whose power will be cut."""
    found = Recording(record(root, ends, *flags, **pragmas), root / "home")
    found.learn()
    return found


def assert_all_happened(events: list[Event], ends: int) -> None:
    """The recording contains a cold start, checkpoints, restarted logs, and logs removed at a normal end."""
    begun = [event for event in events if isinstance(event, Written) and event.offset == 0]
    assert sum(isinstance(event, Made) and event.path.endswith("-journal") for event in events) == 1
    assert sum(event.path.endswith("-wal") for event in begun) > ends + 1
    assert sum(event.path.endswith(".db") for event in begun) > 2
    assert sum(isinstance(event, Removed) and event.path.endswith("-wal") for event in events) == ends


def tell(one: Recording, synchronous: str) -> None:
    """Print how many states were opened."""
    print(f"\n{synchronous}: {one.opened} states opened of {len(one.events)} events: {dict(one.ways)}")


def test_under_full_no_power_cut_takes_what_was_acknowledged(root: Path) -> None:
    """Under FULL each write is complete or missing after a power cut, and acknowledged writes are there."""
    one = recording(root, ["well", "killed", "well"])
    found = list(one.cut_everywhere(ROUNDS))
    tell(one, "FULL")
    assert_all_happened(one.events, 2)
    assert [state for state in found if state.wrong or state.lost] == []
    assert one.opened > times(190, 1_500)


def test_under_normal_a_power_cut_takes_only_the_last_moves(root: Path) -> None:
    """Under NORMAL only the last writes are lost, and some are."""
    one = recording(root, ["killed", "well"], "--synchronous", "NORMAL")
    found = list(one.cut_everywhere(ROUNDS))
    tell(one, "NORMAL")
    assert_all_happened(one.events, 1)
    assert [state for state in found if state.wrong] == []
    assert any(state.lost for state in found), "then NORMAL would promise as much as FULL"
    assert one.opened > times(110, 900)


def test_without_syncs_a_lost_acknowledgement_is_found(root: Path) -> None:
    """With synchronous=OFF the same test finds lost acknowledged writes."""
    one = recording(root, ["killed"], synchronous="OFF")
    assert any(state.lost for state in one.cut_everywhere(1))
