"""The plan decides how the attempts at each feature end, whichever agent gets it."""

from __future__ import annotations

import pytest

from dibs_proof.demo.plan import (
    LONGEST_WORK,
    MAX_FAILURES,
    SHORTEST_WORK,
    Outcome,
    planned_outcomes,
    work_time,
)


def test_a_seed_gives_the_same_plan_again() -> None:
    """The order in which the features are given does not matter; the seed does."""
    features = list(range(1, 65))
    assert planned_outcomes(features, 1) == planned_outcomes(features[::-1], 1)
    assert planned_outcomes(features, 1) != planned_outcomes(features, 2)


@pytest.mark.parametrize("count", [8, 64, 516])
def test_every_outcome_occurs_from_eight_features_on(count: int) -> None:
    """One feature fails until it is stuck, one fails once, one is skipped, and one asks a person."""
    assert set(planned_outcomes(range(1, count + 1), 1).values()) == {
        (Outcome.FAIL,) * MAX_FAILURES,
        (Outcome.FAIL,),
        (Outcome.SKIP,),
        (Outcome.ASK,),
    }


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_small_backlog_passes_at_once(count: int) -> None:
    """With fewer than eight features there is room for the kill alone."""
    assert planned_outcomes(range(1, count + 1), 1) == {}


def test_work_takes_five_to_forty_milliseconds() -> None:
    """The pretended work stays within its bounds, and is the same for the same attempt."""
    times = [work_time(1, feature, 1) for feature in range(200)]
    assert all(SHORTEST_WORK <= one <= LONGEST_WORK for one in times)
    assert times[7] == work_time(1, 7, 1) != work_time(1, 7, 2)
