"""Another server of comparable tools, given by a command, beside Dibs and a stock no-op in the same run.

    python -m bench peer --command "env PROJECT_DIR={folder} /path/to/python /path/to/server.py" --adapter autoforge

`{folder}` becomes an empty folder for each backlog of the peer's.
"""

from __future__ import annotations

import random
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.adapters import Adapter, Planned, adapter
from bench.driver import NOOP, Failed, dibs
from bench.figures import Figure
from bench.fleet import Fleet
from bench.race import NOTHING, RACERS, Claims, Pace, Rounds, compared

DRAIN_BOUND = 15.0
FULL = {"blocks": 5, "rounds": 50, "size": 2_000}
BATCH = 250
DRAINS = 3
NEEDS = 3
"""Features that one needs at most, of those before it in its batch."""

Opened = Callable[[Path, int], Fleet]
"""Starts so many servers on the backlog in a folder."""


def measure(
    folder: Path, command: str, name: str, *, blocks: int, rounds: int, size: int
) -> Iterator[Figure]:
    """The race for one feature, and how fast eight servers drain a backlog of `size` features with dependencies."""
    theirs = adapter(name)

    def open_theirs(there: Path, count: int) -> Fleet:
        there.mkdir(exist_ok=True)
        return Fleet(shlex.split(command.format(folder=shlex.quote(str(there)))), count)

    yield from _race(folder, open_theirs, theirs, name, blocks, rounds)
    rates: dict[str, list[float]] = {"dibs": [], name: []}
    for run in range(DRAINS):
        rates["dibs"].append(_drain(folder / f"dibs-drain{run}", _open_ours, adapter("dibs"), size))
    # Once: it takes minutes where ours takes seconds, and the bound is far from its spread.
    rates[name].append(_drain(folder / f"{name}-drain", open_theirs, theirs, size))
    yield Figure(
        f"claim and pass, {RACERS} servers, {size:,} features with dependencies, beside {name}",
        rates["dibs"],
        rates[name],
        "/s",
        DRAIN_BOUND if size >= FULL["size"] else None,  # it is told of backlogs of that size
    )


def _open_ours(there: Path, count: int) -> Fleet:
    return Fleet(dibs(there.with_suffix(".db")), count)


def _race(
    folder: Path, open_theirs: Opened, theirs: Adapter, name: str, blocks: int, rounds: int
) -> Iterator[Figure]:
    paces = {"dibs": Pace(), name: Pace(), "no-op": Pace()}
    with ExitStack() as opened:
        racing: list[Rounds] = []
        for opener, tools, there in ((_open_ours, adapter("dibs"), "dibs"), (open_theirs, theirs, name)):
            _fill(folder / f"{there}-race", opener, tools, (blocks + 1) * rounds, needs=0)
            racing.append(Claims(opened.enter_context(opener(folder / f"{there}-race", RACERS)), tools))
        racing.append(Rounds(opened.enter_context(Fleet(NOOP, RACERS)), NOTHING))
        for block in range(blocks + 1):
            for pace, one in zip(paces.values(), racing, strict=True):
                pace.run(one, rounds, warming_up=not block)
    race = f"{RACERS} servers claim the same feature"
    yield from compared(f"{race}, beside {name}", paces["dibs"], paces["no-op"])
    yield Figure(f"{name}: {race}, calls", paces[name].rates, paces["no-op"].rates, "/s")
    yield Figure(f"{name}: {race}, p99", paces[name].p99s, paces["no-op"].p99s, "us")


def _drain(there: Path, opener: Opened, tools: Adapter, size: int) -> float:
    """Features a second, from the first claim to the last answer. Raises Failed where one is not passed, or twice."""
    _fill(there, opener, tools, size, NEEDS)
    with opener(there, RACERS) as fleet:
        fleet.at_once(tools.look())  # some greet before they have opened anything
        began = time.perf_counter()
        passed = fleet.work([tools.agent(number) for number in range(RACERS)])
        span = time.perf_counter() - began
    if sum(passed) != size:
        raise Failed(f"of {size} features {sum(passed)} were passed")
    return size / span


def _fill(there: Path, opener: Opened, tools: Adapter, size: int, needs: int) -> None:
    """Let one server make the backlog alone, so that none is met half made."""
    with opener(there, 1) as fleet:
        for start in range(0, size, BATCH):
            for call in tools.fill(_planned(start, min(BATCH, size - start), needs)):
                fleet.call(call)


def _planned(start: int, count: int, needs: int) -> Sequence[Planned]:
    """Features as planners write them, each with some of those shortly before it as its needs; the same in every run."""
    chance = random.Random(start)
    return [
        Planned(
            category=f"area {number % 12}",
            name=f"Feature {start + number} does one thing that users asked for",
            description="As a user I want this to work, so that I can go on with what I came for. " * 6,
            steps=[f"Step {step}: open the page, act, and check what is shown" for step in range(1, 6)],
            needs=sorted(chance.sample(range(number), min(number, chance.randint(0, needs)))),
        )
        for number in range(count)
    ]
