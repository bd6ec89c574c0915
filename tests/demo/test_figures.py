"""The figures of a demo are computed correctly."""

from __future__ import annotations

import pytest

from dibs_proof.demo.verdict import busiest, quantile, take_overs
from dibs_proof.read_database import Event


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_quantile_is_a_measured_value(share: float, value: float) -> None:
    """The nearest rank, without interpolation."""
    assert quantile([float(one) for one in range(100, 0, -1)], share) == value


def test_without_measurements_there_is_no_quantile() -> None:
    """Without measurements the value is None, not zero."""
    assert quantile([], 0.5) is None


def test_the_busiest_second_is_found_anywhere() -> None:
    """A second begins at any moment, and does not contain its own end."""
    assert busiest([0.0, 0.9, 1.0, 1.5, 1.8, 5.0]) == 4
    assert busiest([]) == 0


@pytest.mark.parametrize(("second", "count"), [("bob", 1), ("ada", 0)])
def test_a_take_over_is_another_agents_claim_after_an_expiry(second: str, count: int) -> None:
    """An agent that gets its own feature again has not taken over."""
    events = [
        Event(1, 1, "ada", "claim", "pending", "in_progress"),
        Event(2, 1, "dibs", "expire", "in_progress", "pending"),
        Event(3, 1, second, "claim", "pending", "in_progress"),
    ]
    assert take_overs(events) == count


def test_a_claim_after_a_failure_is_no_take_over() -> None:
    """Only an expired claim is taken over."""
    events = [
        Event(1, 1, "ada", "claim", "pending", "in_progress"),
        Event(2, 1, "ada", "fail", "in_progress", "pending"),
        Event(3, 1, "bob", "claim", "pending", "in_progress"),
    ]
    assert take_overs(events) == 0
