"""Claims by many processes at once on one file, against one process alone: what standing in a queue costs.

Bare `sqlite3` behind the same door is measured too: what a queue of processes costs before there is any code of ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import chain, count
from pathlib import Path
from statistics import fmean

from bench import backlog, bulk
from bench.crowd import Barrier, together
from bench.door import held_times
from bench.figures import Figure
from bench.raw import RawClaims
from dibs.database.sqlite.door import Door
from dibs.verbs.claim import take
from dibs.verbs.holder import Holder

PROCESSES = 32
BOUND = 0.7
EACH = 20
"""Claims of each process in a round."""

Span = tuple[float, float]


def measure(folder: Path, rounds: int) -> Iterator[Figure]:
    """Rounds in which the first process makes as many claims alone as then all of them make together."""
    for name, work, bound in (
        ("claims by write_now, FULL", _by_the_verb, BOUND),
        ("the same by bare sqlite3 behind the same door", _by_hand, None),
    ):
        claims = EACH * PROCESSES
        path = bulk.make(folder / f"{work.__name__}.db", 2 * (rounds + 1) * claims + PROCESSES)
        spans, held = zip(*together(work, [(path, rounds)] * PROCESSES), strict=True)
        alone = [claims / _length([ours]) for ours in spans[0][::2]]
        crowded = [claims / _length([of_one[place] for of_one in spans]) for place in range(1, 2 * rounds, 2)]
        yield Figure(f"{name}, {PROCESSES} processes against one", crowded, alone, "/s", bound)
        yield _behind(name, held, rounds)


def _behind(name: str, held: tuple[list[float], ...], rounds: int) -> Figure:
    """How long each is behind the door: between one that leaves and the next that comes in there is a rest."""
    claims = EACH * PROCESSES
    first = [held[0][1:][(claims + EACH) * one :][: claims + EACH] for one in range(rounds)]
    others = [[of_one[1:][EACH * one :][:EACH] for of_one in held[1:]] for one in range(rounds)]
    alone = [fmean(one[:claims]) for one in first]
    crowded = [
        fmean([*mine[claims:], *chain.from_iterable(theirs)])
        for mine, theirs in zip(first, others, strict=True)
    ]
    return Figure(f"{name}, time behind the door, the same", crowded, alone, "us")


def _length(spans: list[Span]) -> float:
    return max(end for _, end in spans) - min(start for start, _ in spans)


def _by_the_verb(number: int, begin: Barrier, path: Path, rounds: int) -> tuple[list[Span], list[float]]:
    database = backlog.opened(path)

    def claim(name: str) -> None:
        holder = Holder(name, named=True, session="bench", lease=120)
        assert database.write_now(lambda tx: take(tx, holder)) is not None, "the backlog is long enough"

    with held_times() as held:
        spans = _spans(claim, number, begin, rounds)
    database.close(5)
    return spans, held


def _by_hand(number: int, begin: Barrier, path: Path, rounds: int) -> tuple[list[Span], list[float]]:
    raw, door = RawClaims(path), Door(Path(f"{path}.lock"))

    def claim(name: str) -> None:
        door.enter()
        raw.claim(name)
        door.leave()

    with held_times() as held:
        spans = _spans(claim, number, begin, rounds)
    raw.close()
    return spans, held


def _spans(claim: Callable[[str], None], number: int, begin: Barrier, rounds: int) -> list[Span]:
    """When this process claimed in each round: alone, if it is the first, and with the others."""
    names = (f"agent {number}.{each}" for each in count())
    claim(next(names))  # it prepares the statements
    spans: list[Span] = []
    for _ in range(rounds):
        for claims in (EACH * PROCESSES if number == 0 else 0, EACH):
            begin.wait()
            started = time.monotonic()  # the same clock in every process
            for _ in range(claims):
                claim(next(names))
            spans.append((started, time.monotonic()))
    return spans
