"""Claims by many processes at once on one file, against one process alone: what standing in a queue costs.

Bare `sqlite3` behind the same door is measured too: what a queue of processes costs before there is any code of ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from bench import backlog, bulk
from bench.crowd import Barrier, together
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
        spans = together(work, [(path, rounds)] * PROCESSES)
        alone = [claims / _length([ours]) for ours in spans[0][::2]]
        crowded = [claims / _length([of_one[place] for of_one in spans]) for place in range(1, 2 * rounds, 2)]
        yield Figure(f"{name}, {PROCESSES} processes against one", crowded, alone, "/s", bound)


def _length(spans: list[Span]) -> float:
    return max(end for _, end in spans) - min(start for start, _ in spans)


def _by_the_verb(number: int, begin: Barrier, path: Path, rounds: int) -> list[Span]:
    database = backlog.opened(path)

    def claim(name: str) -> None:
        holder = Holder(name, named=True, session="bench", lease=120)
        assert database.write_now(lambda tx: take(tx, holder)) is not None, "the backlog is long enough"

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
    for _ in range(rounds):
        for claims in (EACH * PROCESSES if number == 0 else 0, EACH):
            begin.wait()
            started = time.monotonic()  # the same clock in every process
            for _ in range(claims):
                claim(next(names))
            spans.append((started, time.monotonic()))
    return spans
