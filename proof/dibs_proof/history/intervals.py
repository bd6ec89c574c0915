"""When something may have been true: what a guard that rests on other features is held against.

A fact (this feature passes; that one waits for it) is written by calls, each at an unknown moment between
its begin and its end. It may be true at a moment if some call that made it true had begun by then, and no
call that made it false certainly lies between the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Write:
    """A call after which the fact was so; `ended` is infinite where the call may never have acted."""

    begun: float
    ended: float
    value: bool


@dataclass(slots=True)
class Fact:
    """Something that is true or false, and every call that told or made it so."""

    initial: bool
    writes: list[Write] = field(default_factory=list)
    _known: dict[bool, list[Span]] = field(default_factory=dict)

    def write(self, begun: float, ended: float, *, value: bool) -> None:
        """Note a call."""
        self.writes.append(Write(begun, ended, value))

    def possibly(self, *, value: bool) -> list[Span]:
        """When it may have been so, in order."""
        if value not in self._known:
            self._known[value] = union(self._spans(value))
        return self._known[value]

    def _spans(self, value: bool) -> list[Span]:
        against = sorted((one for one in self.writes if one.value is not value), key=lambda one: one.begun)
        # The least end of all that began at or after each place.
        ends = [math.inf] * (len(against) + 1)
        for place in range(len(against) - 1, -1, -1):
            ends[place] = min(ends[place + 1], against[place].ended)
        begins = [(one.begun, one.ended) for one in self.writes if one.value is value]
        if self.initial is value:
            begins.append((-math.inf, -math.inf))
        spans, place = [], 0
        for begun, ended in sorted(begins, key=lambda one: one[1]):
            while place < len(against) and against[place].begun <= ended:
                place += 1
            spans.append((begun, max(begun, ends[place])))
        return spans


def union(spans: Iterable[Span]) -> list[Span]:
    """The moments in any of the spans, as spans that do not overlap."""
    joined: list[Span] = []
    for low, high in sorted(spans):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return joined


def both(some: list[Span], others: list[Span]) -> list[Span]:
    """The moments in both."""
    found, here, there = [], 0, 0
    while here < len(some) and there < len(others):
        low, high = max(some[here][0], others[there][0]), min(some[here][1], others[there][1])
        if low <= high:
            found.append((low, high))
        if some[here][1] < others[there][1]:
            here += 1
        else:
            there += 1
    return found
