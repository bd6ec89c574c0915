"""Eight servers, each at its own client, all asked for the same feature in the same moment, over and over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import backlog
from bench.adapters import Adapter, adapter
from bench.driver import NOOP, Failed, Timed, dibs
from bench.figures import Figure, rank
from bench.fleet import Call, Fleet

RACERS = 8
RATE_BOUND = 1.5
P99_BOUND = 2.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a fleet answered: calls a second, and the p99 in seconds, of each block of rounds."""

    rates: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)

    def keep(self, spans: list[float], timed: list[Timed]) -> None:
        """Note one block: how long its rounds took, and every call in it."""
        self.rates.append(len(timed) / sum(spans))
        self.p99s.append(rank([one.seconds for one in timed], 0.99))


def measure(folder: Path, blocks: int, rounds: int) -> Iterator[Figure]:
    """Blocks of rounds, in turn with a stock server's no-op tool; what ends a claim is not in the time."""
    path = backlog.make(folder / "race.db", (blocks + 1) * rounds)
    ours, stock = Pace(), Pace()
    with Fleet(dibs(path), RACERS) as racers, Fleet(NOOP, RACERS) as idlers:
        claims, idle = Claims(racers, adapter("dibs")), Noops(idlers)
        for block in range(blocks + 1):
            for pace, one in ((ours, claims), (stock, idle)):
                spans_and_calls = run_block(one.round, rounds)
                if block:  # the first warmed up
                    pace.keep(*spans_and_calls)
    yield from compared(f"{RACERS} servers claim the same feature", ours, stock)


def compared(name: str, ours: Pace, theirs: Pace) -> Iterator[Figure]:
    """A race's two figures, with their bounds."""
    yield Figure(f"{name}, calls", ours.rates, theirs.rates, "/s", RATE_BOUND)
    yield Figure(f"{name}, p99", ours.p99s, theirs.p99s, "us", P99_BOUND)


def run_block(one: Callable[[], tuple[float, list[Timed]]], rounds: int) -> tuple[list[float], list[Timed]]:
    """Run so many rounds; the time of each in seconds, and all their calls."""
    spans: list[float] = []
    calls: list[Timed] = []
    for _ in range(rounds):
        span, timed = one()
        spans.append(span)
        calls += timed
    return spans, calls


class Noops:
    """Rounds in which every server does nothing."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def round(self) -> tuple[float, list[Timed]]:
        """How long one round took, and its calls."""
        began = time.perf_counter()
        timed = self._fleet.at_once(Call("noop"))
        return time.perf_counter() - began, timed


class Claims:
    """Rounds in which every server is asked for the same feature, and one gets it."""

    def __init__(self, fleet: Fleet, tools: Adapter) -> None:
        self._fleet = fleet
        self._tools = tools
        self._feature = 0

    def round(self) -> tuple[float, list[Timed]]:
        """How long one round took, and its calls. Raises Failed where not exactly one got the feature."""
        self._feature += 1
        began = time.perf_counter()
        timed = self._fleet.at_once(self._tools.claim(self._feature))
        span = time.perf_counter() - began
        winners = [
            server for server, one in zip(self._fleet.servers, timed, strict=True) if self._tools.won(one)
        ]
        if len(winners) != 1:
            raise Failed(f"feature {self._feature} was given to {len(winners)}")
        done = self._tools.finish(self._feature)
        winners[0].call(done.tool, dict(done.arguments))
        return span, timed
