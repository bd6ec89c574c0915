"""Claims by many processes at once on one file, against one process alone: what standing in a queue costs.

Bare `sqlite3` behind the same door is measured too: what a queue of processes costs before there is any code of ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from bench import backlog, bulk
from bench.crowd import Barrier, together
from bench.door import held_times
from bench.figures import Figure
from bench.raw import RawClaims
from dibs.database.sqlite.writer_queue import Door
from dibs.rules.claimant import Holder
from dibs.verbs.claim import claim_row

PROCESSES = 32
BOUND = 0.7
EACH = 20
"""Claims of each process in a round."""


class Span(NamedTuple):
    """When a process claimed in a round, by the clock of all, and how long a claim was behind the door: seconds."""

    started: float
    ended: float
    behind: float


def measure(folder: Path, rounds: int) -> Iterator[Figure]:
    """Rounds in which the first process makes as many claims alone as then all of them make together."""
    for name, work, bound in (
        ("claims by write_now, FULL", _by_the_verb, BOUND),
        ("the same by bare sqlite3 behind the same door", _by_hand, None),
    ):
        claims = EACH * PROCESSES
        path = bulk.make(folder / f"{work.__name__}.db", 2 * (rounds + 1) * claims + PROCESSES)
        spans = together(work, [(path, rounds)] * PROCESSES)
        alone = spans[0][::2]
        crowds = [[of_one[place] for of_one in spans] for place in range(1, 2 * rounds, 2)]
        rates = [claims / _length(crowd) for crowd in crowds], [claims / _length([ours]) for ours in alone]
        yield Figure(f"{name}, {PROCESSES} processes against one", *rates, "/s", bound)
        behind = [fmean(one.behind for one in crowd) for crowd in crowds], [ours.behind for ours in alone]
        yield Figure(f"{name}, time behind the door, the same", *behind, "us")


def _length(spans: list[Span]) -> float:
    return max(one.ended for one in spans) - min(one.started for one in spans)


def _by_the_verb(number: int, begin: Barrier, path: Path, rounds: int) -> list[Span]:
    database = backlog.opened(path)

    def claim(name: str) -> None:
        holder = Holder(name, named=True, session="bench", lease=120)
        assert database.write_now(lambda tx: claim_row(tx, holder)) is not None, "the backlog is long enough"

    spans = _spans(claim, number, begin, rounds)
    database.close(5)
    return spans


def _by_hand(number: int, begin: Barrier, path: Path, rounds: int) -> list[Span]:
    raw, door = RawClaims(path), Door(Path(f"{path}.lock"))

    def claim(name: str) -> None:
        door.enter()
        raw.claim(name)
        door.leave()

    spans = _spans(claim, number, begin, rounds)
    raw.close()
    return spans


def _spans(claim: Callable[[str], None], number: int, begin: Barrier, rounds: int) -> list[Span]:
    """When this process claimed in each round: alone, if it is the first, and with the others."""
    names = (f"agent {number}.{each}" for each in count())
    claim(next(names))  # it prepares the statements
    spans: list[Span] = []
    with held_times() as held:
        for _ in range(rounds):
            for claims in (EACH * PROCESSES if number == 0 else 0, EACH):
                held.clear()
                begin.wait()
                started = time.monotonic()  # the same clock in every process
                for _ in range(claims):
                    claim(next(names))
                spans.append(Span(started, time.monotonic(), fmean(held or [0.0])))
    return spans
