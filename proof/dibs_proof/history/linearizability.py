"""Search for an order of the calls on one feature in which the model gives the answers of the history.

The search follows the calls in time. At each moment there is a set of configurations: possible states of the feature.
When a call ends that has not been placed, each configuration is extended by open calls, lost calls and ends of claims,
until the call fits. If no configuration is left, no order exists. A call that fits and changes nothing is placed at once,
because everything that could precede it can also follow it. The exception is a claim that may expire now but not later.
A lost call ends when it can no longer take effect.
Source: G. Lowe, "Testing for linearizability" (2017), the just-in-time search, which comes from
J. Wing and C. Gong, "Testing and verifying concurrent objects" (1993).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from dibs_proof.history import model
from dibs_proof.history.expectations import UNKNOWN, Effect
from dibs_proof.history.feature_history import FeatureHistory
from dibs_proof.history.model import FeatureState, Limits, Refused
from dibs_schema.status import ConnectionEnd, Kind, Status

MOST_CONFIGURATIONS = 4_000_000
"""The number of configurations after which the search for one feature ends as undecided."""


class Undecided(Exception):  # noqa: N818 - it is a result of the search
    """There are too many possibilities."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A possible state of the feature, and the open and lost calls that have taken effect in it."""

    state: FeatureState | None
    placed: frozenset[int] = frozenset()


class Cost(NamedTuple):
    """The requirements of a configuration: a number of unknown claims, and `low`, its earliest moment."""

    unknown: int
    low: float

    def dominates(self, other: Cost) -> bool:
        """Return whether everything that can follow `other` can also follow this cost."""
        return self.unknown <= other.unknown and self.low <= other.low


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A call that fits into no order: the states before it, and the effects of the concurrent calls.

    `reached` also has the states to which open calls and ends of claims could have led.
    """

    effect: Effect
    states: list[FeatureState | None]
    reached: list[FeatureState | None]
    concurrent: list[Effect]


Configurations = dict[Configuration, list[Cost]]
"""Each configuration with its costs; no cost dominates another."""


def contradiction(feature: FeatureHistory, limits: Limits) -> Contradiction | None:
    """Return the first call that fits into no order, or None if there is an order. Raises Undecided.

    Claims whose answers were lost are used only if no order exists without them.
    """
    allowed = 0
    while True:
        found = _Search(feature, limits, allowed).run()
        if found is None or allowed >= len(feature.unattributed):
            return found
        allowed = min(len(feature.unattributed), max(1, allowed * 2))


class _Search:
    def __init__(self, feature: FeatureHistory, limits: Limits, allowed: int) -> None:
        self._feature = feature
        self._limits = limits
        self._unattributed = feature.unattributed[:allowed]
        self._effects = feature.effects
        self._open: set[int] = set()
        self._lost: set[int] = set()
        self._searched = 0
        self._reached: dict[FeatureState | None, None] = {}

    def run(self) -> Contradiction | None:
        """Follow the calls in time."""
        configurations: Configurations = {Configuration(self._feature.first): [Cost(0, -math.inf)]}
        for now, ends, number in self._moments():
            lost = self._effects[number].lost
            if not ends:
                (self._lost if lost else self._open).add(number)
                configurations = self._place_idle_calls(configurations)
                continue
            after = self._place(configurations, number, now)
            (self._lost if lost else self._open).discard(number)
            if lost:
                for one, cost in _each(configurations):  # or the lost call never took effect
                    _add(after, replace(one, placed=one.placed - {number}), cost)
            if not after:
                return self._contradiction(number, configurations)
            configurations = self._place_idle_calls(after)
        return None

    def _place(self, configurations: Configurations, number: int, now: float) -> Configurations:
        after: Configurations = {}
        before: Configurations = {}
        for one, cost in _each(configurations):
            if number in one.placed:
                _add(after, replace(one, placed=one.placed - {number}), cost)
            else:
                _add(before, one, cost)
        self._reached.clear()
        self._extend(before, number, now, after)
        return after

    def _moments(self) -> list[tuple[float, bool, int]]:
        effects = list(enumerate(self._effects))
        starts = [(effect.begun, False, number) for number, effect in effects]
        ends = [(effect.ended, True, number) for number, effect in effects if effect.ended < math.inf]
        return sorted(starts + ends)

    def _contradiction(self, number: int, configurations: Configurations) -> Contradiction:
        concurrent = [self._effects[other] for other in sorted(self._open) if other != number]
        states = list(dict.fromkeys(one.state for one in configurations))
        return Contradiction(self._effects[number], states, list(self._reached), concurrent)

    def _place_idle_calls(self, configurations: Configurations) -> Configurations:
        """Place every open call that fits and can change nothing."""
        found: Configurations = {}
        for one, cost in _each(configurations):
            idle: set[int] = set()
            if not self._may_expire_only_now(one.state, cost):
                idle = {number for number in self._open - one.placed if self._changes_nothing(number, one)}
            _add(found, replace(one, placed=one.placed | idle) if idle else one, cost)
        return found

    def _changes_nothing(self, number: int, one: Configuration) -> bool:
        return self._effects[number].after(one.state) == [one.state]

    def _may_expire_only_now(self, state: FeatureState | None, cost: Cost) -> bool:
        """Return whether the claim may end now, but not later."""
        endings = self._feature.endings.get(state.token, ()) if state is not None and state.token else ()
        return any(cost.low <= ending.latest < math.inf for ending in endings)

    def _extend(self, seen: Configurations, number: int, now: float, after: Configurations) -> None:
        """Add the results of the call to `after`, and the results of other calls and ends before it to `seen`."""
        effect = self._effects[number]
        todo = deque(_each(seen))
        while todo:
            one, cost = todo.popleft()
            self._searched += 1
            if self._searched > MOST_CONFIGURATIONS:
                raise Undecided
            fits = effect.after(one.state)
            if fits == [one.state] and not self._may_expire_only_now(one.state, cost):
                _add(after, one, cost)
                continue
            for state in fits:
                _add(after, replace(one, state=state), cost._replace(low=max(cost.low, effect.begun)))
            self._reached[one.state] = None
            todo.extend(step for step in self._steps(one, cost, number, now) if _add(seen, *step))

    def _steps(self, one: Configuration, cost: Cost, number: int, now: float) -> Iterator[tuple[Configuration, Cost]]:
        for other in (self._open | self._lost) - one.placed - {number}:
            effect = self._effects[other]
            for state in effect.after(one.state):
                if state != one.state or not effect.lost:
                    step = replace(one, state=state, placed=one.placed | {other})
                    yield step, cost._replace(low=max(cost.low, effect.begun))
        if one.state is None:
            return
        if one.state.status is Status.IN_PROGRESS:
            for state, low in self._ended(one.state, cost.low, now):
                yield replace(one, state=state), cost._replace(low=low)
        elif cost.unknown < len(self._unattributed) and self._unattributed[cost.unknown] <= now:
            try:
                free = replace(one.state, backs_off=False)
                state = model.claim(free, UNKNOWN, UNKNOWN, unmet=False)
            except Refused:
                return
            low = max(cost.low, self._unattributed[cost.unknown])
            yield replace(one, state=state), Cost(cost.unknown + 1, low)

    def _ended(self, state: FeatureState, low: float, now: float) -> Iterator[tuple[FeatureState, float]]:
        """Yield the states after an end of the claim without a call."""
        if state.token not in self._feature.endings:  # unknown, or from before the first call
            yield model.undeliver(state), low
            for how in (*ConnectionEnd, Kind.EXPIRE):
                yield self._without_a_call(state, how), low
            return
        for how, earliest, latest in self._feature.endings.get(state.token or "", ()):
            if earliest <= now and low <= latest:
                yield self._without_a_call(state, how), max(low, earliest)

    def _without_a_call(self, state: FeatureState, how: Kind | ConnectionEnd) -> FeatureState:
        if isinstance(how, ConnectionEnd):
            return model.disconnect(state, self._limits, how)
        return model.end(state, how, self._limits)


def _each(configurations: Configurations) -> Iterator[tuple[Configuration, Cost]]:
    return ((one, cost) for one, costs in configurations.items() for cost in costs)


def _add(configurations: Configurations, configuration: Configuration, cost: Cost) -> bool:
    """Add a configuration at a cost, and return whether no known cost dominates it."""
    known = configurations.setdefault(configuration, [])
    if any(one.dominates(cost) for one in known):
        return False
    known[:] = [one for one in known if not cost.dominates(one)]
    known.append(cost)
    return True
