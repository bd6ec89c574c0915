"""How soon a server answers after it was spawned, and what memory it takes once it works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.driver import NOOP, Server, dibs
from bench.figures import Figure, Unit

START_BOUND = 1.05
MEMORY_BOUND = 1.4


@dataclass(frozen=True, slots=True)
class Start:
    """One life: seconds from spawn to each answer, and KiB after the first call."""

    greeted: float
    listed: float
    called: float
    resident: float
    proportional: float


def measure(folder: Path, warm: Path, runs: int) -> list[Figure]:
    """Compare starts on the backlog `warm`, and on none yet, with the no-op server's."""
    noop: list[Start] = []
    ours: list[Start] = []
    cold: list[Start] = []
    for run in range(runs + 1):
        noop.append(_start(NOOP, "noop"))
        ours.append(_start(dibs(warm), "feature_claim_and_get"))
        cold.append(_start(dibs(folder / f"cold{run}.db"), "feature_claim_and_get"))
    for starts in (noop, ours, cold):
        del starts[0]  # it filled the page cache

    def compared(name: str, what: str, starts: list[Start], unit: Unit, bound: float | None = None) -> Figure:
        return Figure(name, _each(what, starts), _each(what, noop), unit, bound)

    return [
        compared("spawn to initialize, warm", "greeted", ours, "ms", START_BOUND),
        compared("spawn to initialize, no database yet", "greeted", cold, "ms"),
        compared("spawn to tools/list, warm", "listed", ours, "ms"),
        compared("spawn to the first claim, warm", "called", ours, "ms"),
        compared("spawn to the first claim, no database yet", "called", cold, "ms"),
        compared("RSS after the first claim", "resident", ours, "MiB", MEMORY_BOUND),
        compared("PSS after the first claim", "proportional", ours, "MiB", MEMORY_BOUND),
    ]


def _start(command: list[str], tool: str) -> Start:
    with Server(command) as server:
        greeted = server.initialize().came - server.spawned_at
        listed = server.request("tools/list", {}).came - server.spawned_at
        called = server.call(tool, {}).came - server.spawned_at
        return Start(greeted, listed, called, *server.memory())


def _each(what: str, starts: list[Start]) -> list[float]:
    return [getattr(start, what) for start in starts]
