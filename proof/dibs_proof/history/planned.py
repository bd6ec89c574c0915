"""The effects of a planner's calls on one feature: changes, reviews of passes and moves in the queue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from dibs_proof.history import model
from dibs_proof.history.expectations import Report, Simulate, report_of, simulate_change, simulate_read
from dibs_proof.history.history import Call
from dibs_proof.history.model import FeatureState
from dibs_schema.status import Status

REVIEWS = {
    "feature_return": partial(model.undo_pass, status=Status.PENDING),
    "feature_reject": partial(model.undo_pass, status=Status.STUCK),
}
"""The tools by which a person undoes a pass."""


def simulate_planned(call: Call) -> Simulate:
    """Return the simulation of a planner's call, or of a read if it changes nothing that the model has."""
    if call.tool in REVIEWS:
        return simulate_change(REVIEWS[call.tool])
    if call.tool == "feature_update":
        return _simulate_update(call.arguments)
    return _simulate_move if is_moved(call) or (call.lost and call.tool == "feature_move") else simulate_read


def is_moved(call: Call) -> bool:
    """Return whether a call has moved its feature in the queue."""
    return (call.answer or {}).get("changed") == ["order"]


def _simulate_update(arguments: dict[str, Any]) -> Simulate:
    """Return the simulation of the changes that `feature_update` makes. A back-off may be over or not."""

    def change(state: FeatureState) -> FeatureState:
        after = model.retry(state) if arguments.get("retry") else state
        wanted = arguments.get("archived")
        return after if wanted is None else model.archive(after, archived=bool(wanted))

    simulate_one = simulate_change(change)

    def simulate(state: FeatureState) -> Iterator[tuple[FeatureState, Report]]:
        yield from simulate_one(state)
        if arguments.get("retry") and state.status is Status.PENDING and state.backs_off:
            yield from simulate_one(replace(state, backs_off=False))

    return simulate


def _simulate_move(state: FeatureState) -> Iterator[tuple[FeatureState, Report]]:
    """Simulate a move in the queue, which may lower the skips of the feature to those of the feature behind it."""
    for skips in range(state.skips + 1):
        after = replace(state, skips=skips)
        yield after, report_of(after)
