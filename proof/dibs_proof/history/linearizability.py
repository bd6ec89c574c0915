"""Whether there is an order of the calls on one feature in which the model says what was said.

The calls are followed in time. At each moment there is a set of places where the feature may be; when a
call ends without having been placed, each place is led on through calls that are still open, lost calls and
ends of claims, until the call fits. Where no place is left, no order exists. A call that fits and changes
nothing is placed at once, since whatever could come before it can come after it as well; but not while a
claim may run out that later it could not. A lost call ends when it can happen no more; by then it has, or never does.
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
from dibs_proof.history.expectations import UNKNOWN, Act
from dibs_proof.history.feature_history import Ledger
from dibs_proof.history.model import Limits, No, Sketch
from dibs_schema.status import Kind, Status

MOST_PLACES = 4_000_000
"""Places that are looked at for one feature before it is given up as undecided."""


class Undecided(Exception):  # noqa: N818 - it is what happened
    """There were too many possibilities."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the feature may be, and which open and lost calls have happened by then."""

    one: Sketch | None
    placed: frozenset[int] = frozenset()


class Way(NamedTuple):
    """What it took to get to a place: so many claims that nobody knows of, and `low`, the earliest moment for it."""

    unknown: int
    low: float

    def beats(self, other: Way) -> bool:
        """Whether what can come after the other can come after this one."""
        return self.unknown <= other.unknown and self.low <= other.low


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A call that fits nowhere: where the feature may have been before it, and the calls open beside it.

    `reached` is also where open calls and ends of claims could have led it.
    """

    act: Act
    places: list[Sketch | None]
    reached: list[Sketch | None]
    beside: list[Act]


Places = dict[Place, list[Way]]
"""Each place, with the ways there of which none beats another."""


def contradiction(ledger: Ledger, limits: Limits) -> Contradiction | None:
    """The first call that fits into no order, or None where there is one. Raises Undecided.

    Claims whose answers were lost are only made use of where it does not go without.
    """
    allowed = 0
    while True:
        found = _Search(ledger, limits, allowed).run()
        if found is None or allowed >= len(ledger.nobodys):
            return found
        allowed = min(len(ledger.nobodys), max(1, allowed * 2))


class _Search:
    def __init__(self, ledger: Ledger, limits: Limits, allowed: int) -> None:
        self._ledger = ledger
        self._limits = limits
        self._nobodys = ledger.nobodys[:allowed]
        self._acts = ledger.acts
        self._open: set[int] = set()
        self._lost: set[int] = set()
        self._looked = 0
        self._reached: dict[Sketch | None, None] = {}

    def run(self) -> Contradiction | None:
        """Follow the calls in time."""
        places: Places = {Place(self._ledger.first): [Way(0, -math.inf)]}
        for now, ends, number in self._moments():
            lost = self._acts[number].lost
            if not ends:
                (self._lost if lost else self._open).add(number)
                places = self._settled(places)
                continue
            after = self._placed(places, number, now)
            (self._lost if lost else self._open).discard(number)
            if lost:
                for place, way in _each(places):  # or it has never happened
                    _add(after, replace(place, placed=place.placed - {number}), way)
            if not after:
                return self._contradiction(number, places)
            places = self._settled(after)
        return None

    def _placed(self, places: Places, number: int, now: float) -> Places:
        """Where the feature may be once the call has been placed, which ends now."""
        after: Places = {}
        before: Places = {}
        for place, way in _each(places):
            if number in place.placed:
                _add(after, replace(place, placed=place.placed - {number}), way)
            else:
                _add(before, place, way)
        self._reached.clear()
        self._lead(before, number, now, after)
        return after

    def _moments(self) -> list[tuple[float, bool, int]]:
        begins = [(act.begun, False, number) for number, act in enumerate(self._acts)]
        ends = [(act.ended, True, number) for number, act in enumerate(self._acts) if act.ended < math.inf]
        return sorted(begins + ends)

    def _contradiction(self, number: int, places: Places) -> Contradiction:
        beside = [self._acts[other] for other in sorted(self._open) if other != number]
        sketches = list(dict.fromkeys(place.one for place in places))
        return Contradiction(self._acts[number], sketches, list(self._reached), beside)

    def _settled(self, places: Places) -> Places:
        """The places, with every open call placed that fits and can change nothing."""
        settled: Places = {}
        for place, way in _each(places):
            idle: set[int] = set()
            if not self._may_run_out_in_time(place.one, way):
                idle = {one for one in self._open - place.placed if self._changes_nothing(one, place)}
            _add(settled, replace(place, placed=place.placed | idle) if idle else place, way)
        return settled

    def _changes_nothing(self, number: int, place: Place) -> bool:
        return self._acts[number].after(place.one) == [place.one]

    def _may_run_out_in_time(self, one: Sketch | None, way: Way) -> bool:
        """Whether the claim may have been ended at some moment, but not at any later one."""
        endings = self._ledger.endings.get(one.token, ()) if one is not None and one.token else ()
        return any(way.low <= ending.latest < math.inf for ending in endings)

    def _lead(self, seen: Places, number: int, now: float, after: Places) -> None:
        """Add to `after` where the call may lead from the places seen, and to these the ways that led up to it."""
        act = self._acts[number]
        todo = deque(_each(seen))
        while todo:
            place, way = todo.popleft()
            self._looked += 1
            if self._looked > MOST_PLACES:
                raise Undecided
            fits = act.after(place.one)
            if fits == [place.one] and not self._may_run_out_in_time(place.one, way):
                _add(after, place, way)
                continue
            for one in fits:
                _add(after, replace(place, one=one), way._replace(low=max(way.low, act.begun)))
            self._reached[place.one] = None
            todo.extend(step for step in self._steps(place, way, number, now) if _add(seen, *step))

    def _steps(self, place: Place, way: Way, number: int, now: float) -> Iterator[tuple[Place, Way]]:
        for other in (self._open | self._lost) - place.placed - {number}:
            act = self._acts[other]
            for one in act.after(place.one):
                if one != place.one or not act.lost:
                    step = replace(place, one=one, placed=place.placed | {other})
                    yield step, way._replace(low=max(way.low, act.begun))
        if place.one is None:
            return
        if place.one.status is Status.IN_PROGRESS:
            for one, low in self._ended(place.one, way.low, now):
                yield replace(place, one=one), way._replace(low=low)
        elif way.unknown < len(self._nobodys) and self._nobodys[way.unknown] <= now:
            try:
                free = replace(place.one, backs_off=False)
                one = model.claim(free, UNKNOWN, UNKNOWN, unmet=False)
            except No:
                return
            yield replace(place, one=one), Way(way.unknown + 1, max(way.low, self._nobodys[way.unknown]))

    def _ended(self, one: Sketch, low: float, now: float) -> Iterator[tuple[Sketch, float]]:
        """How the claim may have ended without a call."""
        if one.token not in self._ledger.endings:  # unknown, or from before the first call
            yield model.undeliver(one), low
            yield model.end(one, Kind.RELEASE, self._limits), low
            yield model.end(one, Kind.EXPIRE, self._limits), low
            return
        for kind, earliest, latest in self._ledger.endings.get(one.token or "", ()):
            if earliest <= now and low <= latest:
                yield model.end(one, kind, self._limits), max(low, earliest)


def _each(places: Places) -> Iterator[tuple[Place, Way]]:
    return ((place, way) for place, ways in places.items() for way in ways)


def _add(places: Places, place: Place, way: Way) -> bool:
    """Note a way to a place; whether it was not beaten by one that is known."""
    known = places.setdefault(place, [])
    if any(one.beats(way) for one in known):
        return False
    known[:] = [one for one in known if not way.beats(one)]
    known.append(way)
    return True
