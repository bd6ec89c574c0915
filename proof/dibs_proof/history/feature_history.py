"""The history of one feature: the effects of calls on it, and the ends of its claims without a call."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dibs_proof.history import expectations
from dibs_proof.history.dependencies import Graph
from dibs_proof.history.expectations import UNKNOWN, Effect
from dibs_proof.history.history import Call, Connection, History
from dibs_proof.history.interpret import CREATES, Interpretation, claimed_feature, holder_of
from dibs_proof.history.model import FeatureState
from dibs_schema.status import ConnectionEnd, Kind

SLACK = 0.1
"""Seconds by which two readings of the same clock in different processes may seem to differ."""


class Ending(NamedTuple):
    """A possible end of a claim without a call, between two moments."""

    how: Kind | ConnectionEnd
    earliest: float
    latest: float


@dataclass(slots=True)
class FeatureHistory:
    """One feature: its first state, the effects of calls on it, the issued claims, and their possible ends.

    `unattributed` has the start times of lost claims, each of which may have claimed this feature, another one, or none.
    """

    feature: int
    first: FeatureState | None
    effects: list[Effect] = field(default_factory=list)
    unattributed: list[float] = field(default_factory=list)
    endings: dict[str, list[Ending]] = field(default_factory=dict)
    issued: dict[str, Call] = field(default_factory=dict)


def feature_histories(history: History, interpretation: Interpretation, graph: Graph) -> dict[int, FeatureHistory]:
    """Return the history of each feature. A claim or pass is narrowed to the times when its dependencies may be met."""
    effects_on: dict[int, list[Effect]] = defaultdict(list)
    for call in history.calls:
        for effect in interpretation.effects(call):
            effects_on[effect.feature].append(_narrowed(effect, interpretation, graph))
    found = {
        number: FeatureHistory(number, _first(history, number, effects_on[number]), effects_on[number])
        for number in sorted({*history.start, *effects_on})
    }
    for token, calls in interpretation.holders.items():
        number = claimed_feature(calls[0])
        assert number is not None
        found[number].issued[token] = calls[0]
        served = [*calls, *interpretation.senders[token], *interpretation.adopters[token]]
        found[number].endings[token] = list(endings(history, served))
    for one in found.values():
        _add_lost_claims(history, interpretation, one)
    return found


def _narrowed(effect: Effect, interpretation: Interpretation, graph: Graph) -> Effect:
    """Return the effect, narrowed to the time when its guard may have held, if there is such a time."""
    if effect.feature != (claimed_feature(effect.call) or effect.call.arguments.get("feature_id")):
        return effect  # it only reads this feature
    if not interpretation.had_nothing_unmet(effect.call):
        return effect
    spans = graph.met(effect.feature, (effect.begun, effect.ended))
    return replace(effect, begun=spans[0][0], ended=spans[-1][1]) if spans else effect


def _first(history: History, number: int, effects: list[Effect]) -> FeatureState | None:
    known = history.start.get(number)
    if known is not None:
        return known.state
    created = any(effect.creates for effect in effects)
    lost = any(call.lost and call.tool in CREATES for call in history.calls)
    return FeatureState() if lost and not created else None


def endings(history: History, calls: list[Call]) -> Iterator[Ending]:
    """Yield the possible ends of a claim without a call, from interruptions of the clients that have its token."""
    for call in calls:
        connection = history.connection(call.client)
        lease_ends = call.begun + connection.lease - SLACK
        for change in connection.interruptions:
            if change.change == "closed":
                yield from (Ending(how, change.at, math.inf) for how in ConnectionEnd)
            if change.change in ("killed", "closed"):
                yield Ending(Kind.EXPIRE, max(change.at, lease_ends), math.inf)
        for begun, ended in _pauses(connection):
            if ended - begun > connection.lease / 3 - SLACK:  # otherwise it was renewed in time
                yield Ending(Kind.EXPIRE, max(begun, lease_ends), ended + connection.lease)


def _pauses(connection: Connection) -> Iterator[tuple[float, float]]:
    begun: float | None = None
    for change in sorted(connection.interruptions, key=lambda change: change.at):
        if change.change == "stopped" and begun is None:
            begun = change.at
        elif change.change == "continued" and begun is not None:
            yield begun, change.at
            begun = None
    if begun is not None:
        yield begun, math.inf


def _add_lost_claims(history: History, interpretation: Interpretation, one: FeatureHistory) -> None:
    for call in interpretation.lost_claims:
        asked = call.arguments.get("feature_id")
        if asked is None or asked == one.feature:
            one.unattributed.append(call.begun)
        if asked is None and call.arguments.get("resume"):
            holder = holder_of(history, call)
            if any(holder_of(history, issued) == holder for issued in one.issued.values()):
                simulate = expectations.simulate_claim(call, holder, UNKNOWN, {"code": "never"}, again=False)
                effect = Effect(one.feature, call, simulate, None, call.begun, history.over_by(call))
                one.effects.append(effect)
    one.unattributed.sort()
