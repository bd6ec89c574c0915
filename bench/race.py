"""Eight servers, each with its own client, all asked for the same feature at once; and a backlog drained by them.

`peer` compares both with another server, given by a command and an adapter, in the same run.
"""

from __future__ import annotations

import random
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench import backlogs
from bench.adapters import ADAPTERS, Adapter, Planned
from bench.driver import NOOP, Failed, Timed, dibs
from bench.figures import Figure, rank
from bench.fleet import Call, Fleet

RACERS = 8
NOOP_CALL = Call("noop")
INVALID_CALL = Call("feature_get_by_id", {"feature_id": 0})
RATE_BOUND = 1.5
P99_BOUND = 2.0

DRAIN_BOUND = 15.0
DRAIN_SIZE = 2_000
"""Features of the backlog for which the bound of the drain is given."""
DRAINS = 3
BATCH = 250
DEPENDENCIES = 3
"""Most dependencies of a feature, all on features before it in its batch."""

Opener = Callable[[Path, int], Fleet]
"""Starts the given number of servers on the backlog in a folder."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of a fleet in each block of rounds: calls per second, p99 and CPU time of a call in seconds."""

    rates: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def run(self, rounds: Rounds, count: int, *, warming_up: bool) -> None:
        """Run a block of `count` rounds, and record it unless it is a warm-up."""
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
    """Rounds in which every server gets the same call, whatever it answers."""

    def __init__(self, fleet: Fleet, call: Call) -> None:
        self.fleet = fleet
        self._call = call

    def round(self) -> tuple[float, list[Timed]]:
        """Run one round, and return its time in seconds, and its calls."""
        began = time.perf_counter()
        timed = self.fleet.at_once(self._call)
        return time.perf_counter() - began, timed


class Claims(Rounds):
    """Rounds in which every server is asked for the same feature, and exactly one gets it."""

    def __init__(self, fleet: Fleet, tools: Adapter) -> None:
        super().__init__(fleet, tools.claim(1))
        self._tools = tools
        self._feature = 0

    def round(self) -> tuple[float, list[Timed]]:
        """Run one round, and return its time in seconds, and its calls. Raises Failed unless exactly one is won."""
        self._feature += 1
        self._call = self._tools.claim(self._feature)
        span, timed = super().round()
        winners = [server for server, one in zip(self.fleet.servers, timed, strict=True) if self._tools.won(one)]
        if len(winners) != 1:
            raise Failed(f"feature {self._feature} was given to {len(winners)}")
        done = self._tools.finish(self._feature)
        winners[0].call(done.tool, dict(done.arguments))
        return span, timed


def measure(folder: Path, blocks: int, rounds: int) -> Iterator[Figure]:
    """Run blocks of rounds, in turn with a stock server's no-op tool; the time excludes the end of the claim.

    The CPU time of a call is for information: the time of the claims includes the winner's pass. The invalid
    calls are refused for their arguments, before any work on the database.
    """
    path = backlogs.make(folder / "race.db", (blocks + 1) * rounds)
    ours, refused, stock = Pace(), Pace(), Pace()
    with Fleet(dibs(path), RACERS) as racers, Fleet(NOOP, RACERS) as idlers:
        running = (
            (ours, Claims(racers, ADAPTERS["dibs"])),
            (refused, Rounds(racers, INVALID_CALL)),
            (stock, Rounds(idlers, NOOP_CALL)),
        )
        _run_in_turn(running, blocks, rounds)
    race = f"{RACERS} servers claim the same feature"
    yield from _compared(race, ours, stock)
    yield Figure(f"{race}, CPU of a call", ours.processor, stock.processor, "us")
    refuse = "the same servers refuse invalid calls"
    yield Figure(f"{refuse}, calls", refused.rates, stock.rates, "/s")
    yield Figure(f"{refuse}, CPU of a call", refused.processor, stock.processor, "us")


def _run_in_turn(running: Sequence[tuple[Pace, Rounds]], blocks: int, rounds: int) -> None:
    for block in range(blocks + 1):
        for pace, one in running:
            pace.run(one, rounds, warming_up=not block)


def _compared(name: str, ours: Pace, theirs: Pace) -> Iterator[Figure]:
    yield Figure(f"{name}, calls", ours.rates, theirs.rates, "/s", RATE_BOUND)
    yield Figure(f"{name}, p99", ours.p99s, theirs.p99s, "us", P99_BOUND)


def measure_peer(folder: Path, command: str, name: str, *, blocks: int, rounds: int, size: int) -> Iterator[Figure]:
    """Race and drain in comparison with another server.

    Args:
        folder: Where the backlogs are made.
        command: Starts the peer; `{folder}` becomes an empty folder for each of its backlogs.
        name: Its adapter.
        blocks: Blocks of the race.
        rounds: Rounds of each block.
        size: Features of the backlog that eight servers drain.
    """
    theirs = ADAPTERS[name]

    def open_theirs(there: Path, count: int) -> Fleet:
        there.mkdir(exist_ok=True)
        return Fleet(shlex.split(command.format(folder=shlex.quote(str(there)))), count)

    yield from _race_peer(folder, open_theirs, theirs, name, blocks, rounds)
    ours = [_drain(folder / f"dibs-drain{run}", _open_ours, ADAPTERS["dibs"], size) for run in range(DRAINS)]
    # The peer drains once: it takes minutes, and the ratio is far from the bound.
    peers = [_drain(folder / f"{name}-drain", open_theirs, theirs, size)]
    drain = f"claim and pass, {RACERS} servers, {size:,} features with dependencies, next to {name}"
    yield Figure(drain, ours, peers, "/s", DRAIN_BOUND if size >= DRAIN_SIZE else None)


def _open_ours(there: Path, count: int) -> Fleet:
    return Fleet(dibs(there.with_suffix(".db")), count)


def _race_peer(
    folder: Path, open_theirs: Opener, theirs: Adapter, name: str, blocks: int, rounds: int
) -> Iterator[Figure]:
    ours, peers, stock = Pace(), Pace(), Pace()
    with ExitStack() as opened:
        racing: list[tuple[Pace, Rounds]] = []
        for pace, opener, tools, kind in (
            (ours, _open_ours, ADAPTERS["dibs"], "dibs"),
            (peers, open_theirs, theirs, name),
        ):
            there = folder / f"{kind}-race"
            _fill(there, opener, tools, (blocks + 1) * rounds, dependencies=0)
            racing.append((pace, Claims(opened.enter_context(opener(there, RACERS)), tools)))
        racing.append((stock, Rounds(opened.enter_context(Fleet(NOOP, RACERS)), NOOP_CALL)))
        _run_in_turn(racing, blocks, rounds)
    race = f"{RACERS} servers claim the same feature"
    yield from _compared(f"{race}, next to {name}", ours, stock)
    yield Figure(f"{name}: {race}, calls", peers.rates, stock.rates, "/s")
    yield Figure(f"{name}: {race}, p99", peers.p99s, stock.p99s, "us")


def _drain(there: Path, opener: Opener, tools: Adapter, size: int) -> float:
    """Return features per second, from the first claim to the last answer. Raises Failed unless each passes exactly once."""
    _fill(there, opener, tools, size, DEPENDENCIES)
    with opener(there, RACERS) as fleet:
        fleet.at_once(tools.look())  # some servers answer `initialize` before they have opened the database
        began = time.perf_counter()
        passed = fleet.work([tools.agent(number) for number in range(RACERS)])
        span = time.perf_counter() - began
    if sum(passed) != size:
        raise Failed(f"of {size} features {sum(passed)} were passed")
    return size / span


def _fill(there: Path, opener: Opener, tools: Adapter, size: int, dependencies: int) -> None:
    """Let one server create the backlog before the others start."""
    with opener(there, 1) as fleet:
        for start in range(0, size, BATCH):
            for call in tools.fill(_planned(start, min(BATCH, size - start), dependencies)):
                fleet.call(call)


def _planned(start: int, count: int, dependencies: int) -> Sequence[Planned]:
    """Return features of realistic length with random dependencies, the same in every run."""
    chance = random.Random(start)
    return [
        Planned(
            category=f"area {number % 12}",
            name=f"Feature {start + number} does one thing that users asked for",
            description=backlogs.DESCRIPTION * 6,
            steps=backlogs.STEPS,
            depends_on_indices=sorted(chance.sample(range(number), min(number, chance.randint(0, dependencies)))),
        )
        for number in range(count)
    ]
