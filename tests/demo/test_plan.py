"""The script decides what becomes of each feature, whoever gets it."""

from __future__ import annotations

import pytest

from dibs_proof.demo.plan import LONGEST_WORK, SHORTEST_WORK, STUBBORN, Fate, script, work_time


def test_a_seed_gives_the_same_script_again() -> None:
    """The order in which the features are given does not matter; the seed does."""
    features = list(range(1, 65))
    assert script(features, 1) == script(features[::-1], 1)
    assert script(features, 1) != script(features, 2)


@pytest.mark.parametrize("count", [8, 64, 516])
def test_every_fate_occurs_from_eight_features_on(count: int) -> None:
    """Some feature fails until it is stuck, one fails once, one is skipped and one asks."""
    assert set(script(range(1, count + 1), 1).values()) == {
        (Fate.FAIL,) * STUBBORN,
        (Fate.FAIL,),
        (Fate.SKIP,),
        (Fate.ASK,),
    }


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_small_backlog_passes_at_once(count: int) -> None:
    """With fewer than eight features there is room for the accident alone."""
    assert script(range(1, count + 1), 1) == {}


def test_work_takes_five_to_forty_milliseconds() -> None:
    """The pretended work stays within its bounds, and is the same for the same attempt."""
    times = [work_time(1, feature, 1) for feature in range(200)]
    assert all(SHORTEST_WORK <= one <= LONGEST_WORK for one in times)
    assert times[7] == work_time(1, 7, 1) != work_time(1, 7, 2)
