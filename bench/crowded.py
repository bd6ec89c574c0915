"""Claims by many processes at once on one file, against one process alone: what standing in a queue costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from bench import backlog, bulk
from bench.crowd import Barrier, together
from bench.figures import Figure
from dibs.verbs.claim import take
from dibs.verbs.holder import Holder

PROCESSES = 32
BOUND = 0.7
EACH = 20
"""Claims of each process in a round."""

Span = tuple[float, float]


def measure(folder: Path, rounds: int) -> Iterator[Figure]:
    """Rounds in which the first process makes as many claims alone as then all of them make together."""
    claims = EACH * PROCESSES
    path = bulk.make(folder / "crowd.db", 2 * (rounds + 1) * claims + PROCESSES)
    spans = together(_claim, [(path, rounds)] * PROCESSES)
    alone = [claims / _length([ours]) for ours in spans[0][::2]]
    crowded = [claims / _length([of_one[place] for of_one in spans]) for place in range(1, 2 * rounds, 2)]
    yield Figure(f"claims by write_now, FULL, {PROCESSES} processes against one", crowded, alone, "/s", BOUND)


def _length(spans: list[Span]) -> float:
    return max(end for _, end in spans) - min(start for start, _ in spans)


def _claim(number: int, begin: Barrier, path: Path, rounds: int) -> list[Span]:
    """When this process claimed in each round: alone, if it is the first, and with the others."""
    database = backlog.opened(path)
    numbers = count()

    def claim() -> None:
        holder = Holder(f"agent {number}.{next(numbers)}", named=True, session="bench", lease=120)
        assert database.write_now(lambda tx: take(tx, holder)) is not None, "the backlog is long enough"

    claim()  # it prepares the statements
    spans: list[Span] = []
    for _ in range(rounds):
        for claims in (EACH * PROCESSES if number == 0 else 0, EACH):
            begin.wait()
            started = time.monotonic()  # the same clock in every process
            for _ in range(claims):
                claim()
            spans.append((started, time.monotonic()))
    database.close(5)
    return spans
