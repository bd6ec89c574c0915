"""Eight servers, each at its own client, all asked for the same feature in the same moment, over and over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import backlog
from bench.adapters import Adapter, adapter
from bench.driver import NOOP, Failed, Timed, dibs
from bench.figures import Figure, rank
from bench.fleet import Call, Fleet

RACERS = 8
NOTHING = Call("noop")
INVALID = Call("feature_get_by_id", {"feature_id": 0})
RATE_BOUND = 1.5
P99_BOUND = 2.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a fleet answered in each block of rounds: calls a second, p99 in seconds, CPU seconds of a call."""

    rates: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def run(self, rounds: Rounds, count: int, *, warming_up: bool) -> None:
        """Run a block of so many rounds, and note it unless it warms up."""
        spans: list[float] = []
        calls: list[Timed] = []
        before = rounds.fleet.processor_seconds()
        for _ in range(count):
            span, timed = rounds.round()
            spans.append(span)
            calls += timed
        if not warming_up:
            self.rates.append(len(calls) / sum(spans))
            self.p99s.append(rank([one.seconds for one in calls], 0.99))
            self.processor.append((rounds.fleet.processor_seconds() - before) / len(calls))


class Rounds:
    """Rounds in which every server is asked the same, and it does not matter what it answers."""

    def __init__(self, fleet: Fleet, call: Call) -> None:
        self.fleet = fleet
        self._call = call

    def round(self) -> tuple[float, list[Timed]]:
        """How long one round took, and its calls."""
        began = time.perf_counter()
        timed = self.fleet.at_once(self._call)
        return time.perf_counter() - began, timed


class Claims(Rounds):
    """Rounds in which every server is asked for the same feature, and one gets it."""

    def __init__(self, fleet: Fleet, tools: Adapter) -> None:
        super().__init__(fleet, tools.claim(1))
        self._tools = tools
        self._feature = 0

    def round(self) -> tuple[float, list[Timed]]:
        """How long one round took, and its calls. Raises Failed where not exactly one got the feature."""
        self._feature += 1
        self._call = self._tools.claim(self._feature)
        span, timed = super().round()
        winners = [
            server for server, one in zip(self.fleet.servers, timed, strict=True) if self._tools.won(one)
        ]
        if len(winners) != 1:
            raise Failed(f"feature {self._feature} was given to {len(winners)}")
        done = self._tools.finish(self._feature)
        winners[0].call(done.tool, dict(done.arguments))
        return span, timed


def measure(folder: Path, blocks: int, rounds: int) -> Iterator[Figure]:
    """Blocks of rounds, in turn with a stock server's no-op tool; what ends a claim is not in the time.

    What the calls cost is for information: of the claims with the pass of each round's winner, and of calls
    that Dibs refuses for their arguments, before any work of a database's.
    """
    path = backlog.make(folder / "race.db", (blocks + 1) * rounds)
    ours, refused, stock = Pace(), Pace(), Pace()
    with Fleet(dibs(path), RACERS) as racers, Fleet(NOOP, RACERS) as idlers:
        running = (
            (ours, Claims(racers, adapter("dibs"))),
            (refused, Rounds(racers, INVALID)),
            (stock, Rounds(idlers, NOTHING)),
        )
        for block in range(blocks + 1):
            for pace, one in running:
                pace.run(one, rounds, warming_up=not block)
    race = f"{RACERS} servers claim the same feature"
    yield from compared(race, ours, stock)
    yield Figure(f"{race}, CPU of a call", ours.processor, stock.processor, "us")
    yield Figure("the same servers refuse invalid calls, calls", refused.rates, stock.rates, "/s")
    yield Figure(
        "the same servers refuse invalid calls, CPU of a call", refused.processor, stock.processor, "us"
    )


def compared(name: str, ours: Pace, theirs: Pace) -> Iterator[Figure]:
    """A race's two figures, with their bounds."""
    yield Figure(f"{name}, calls", ours.rates, theirs.rates, "/s", RATE_BOUND)
    yield Figure(f"{name}, p99", ours.p99s, theirs.p99s, "us", P99_BOUND)
