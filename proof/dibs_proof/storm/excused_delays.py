"""Why something took long: strangers that held the locks, servers that were stopped with them, a machine without time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise

from dibs_proof.history.history import Call, History
from dibs_proof.history.intervals import union
from dibs_proof.storm.journal_watcher import Span

QUIET = 0.5
"""Seconds without any answer after which somebody seems to hold the locks."""
READS = ("feature_get_", "feature_search", "ask_user")


class Delays:
    """When others had the database's locks, and when this machine had no time for a process that only wanted to tick.

    `gave_up` are clients whose servers said at their end that the database was too busy to give claims back.
    A stopped server has the locks, as far as one can tell, while no write of anybody is answered.
    """

    def __init__(
        self, history: History, strangers: Iterable[Span], late: Iterable[Span], gave_up: set[str]
    ) -> None:
        self.gave_up = gave_up
        stops = list(_stops(history))
        quiet = list(_quiet(history.calls))
        stood = [(max(low, one), min(high, other)) for low, high in stops for one, other in quiet]
        self._locked = union([*strangers, *(span for span in stood if span[0] < span[1])])
        self._all = union([*self._locked, *late])

    def excused(self, begun: float, ended: float) -> float:
        """For how many seconds between the two nobody could be blamed for being slow."""
        return _within(self._all, begun, ended)

    def blocked(self, begun: float, ended: float) -> bool:
        """Whether somebody had the locks, at any moment between the two."""
        return _within(self._locked, begun, ended) > 0


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
