"""The delays in a storm for which Dibs is not responsible."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise

from dibs_proof.history.dependencies import Span, union
from dibs_proof.history.history import Call, History

QUIET = 0.5
"""Seconds without an answer to any write after which a stopped server may be the process that holds the lock."""
READS = ("feature_get_", "feature_search", "ask_user")


class Delays:
    """The times when other processes had the database's lock, or when the machine was too busy for the storm's own process.

    `not_released` are clients whose servers logged at their end that the database was too busy to release claims.
    A stopped server may have the lock while no write is answered.
    """

    def __init__(
        self, history: History, foreign: Iterable[Span], overloaded: Iterable[Span], not_released: set[str]
    ) -> None:
        self.not_released = not_released
        stops = list(_stops(history))
        quiet = list(_quiet(history.calls))
        overlaps = [(max(low, one), min(high, other)) for low, high in stops for one, other in quiet]
        self._locked = union([*foreign, *(span for span in overlaps if span[0] < span[1])])
        self._all = union([*self._locked, *overloaded])

    def excused(self, begun: float, ended: float) -> float:
        """Return how many seconds between the two times Dibs is not responsible for."""
        return _within(self._all, begun, ended)

    def blocked(self, begun: float, ended: float) -> bool:
        """Return whether another process had the lock at any moment between the two times."""
        return _within(self._locked, begun, ended) > 0


def without_servers(history: History) -> Iterator[Span]:
    """Yield the spans in which no server ran that had answered a call; before its first answer a server still starts."""
    answered: dict[str, float] = {}
    for call in history.calls:
        if call.ended is not None:
            answered[call.client] = min(call.ended, answered.get(call.client, math.inf))
    ends = {
        client: min(
            [change.at for change in one.interruptions if change.change in ("killed", "closed")], default=math.inf
        )
        for client, one in history.connections.items()
    }
    running = union([(begun, ends[client]) for client, begun in answered.items() if begun < ends[client]])
    yield from ((before[1], after[0]) for before, after in pairwise(running))


def _stops(history: History) -> Iterator[Span]:
    for one in history.connections.values():
        begun = None
        for change in sorted(one.interruptions, key=lambda change: change.at):
            if change.change == "stopped":
                begun = change.at
            elif begun is not None:
                yield begun, change.at
                begun = None


def _quiet(calls: Iterable[Call]) -> Iterator[Span]:
    writes = (one for one in calls if not one.tool.startswith(READS) and not one.refused)
    answers = sorted(one.ended for one in writes if one.ended is not None)
    for one, other in pairwise(answers):
        if other - one > QUIET:
            yield one, other


def _within(joined: list[Span], begun: float, ended: float) -> float:
    first = max(0, bisect_left(joined, (begun, begun)) - 1)
    found = 0.0
    for low, high in joined[first:]:
        if low >= ended:
            break
        found += max(0.0, min(high, ended) - max(low, begun))
    return found
