"""How soon a server answers after it was spawned, and what memory it takes once it works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.driver import NOOP, Server, dibs
from bench.figures import Figure

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
    return [
        Figure("spawn to initialize, warm", _each("greeted", ours), _each("greeted", noop), "ms", START_BOUND),
        Figure("spawn to initialize, no database yet", _each("greeted", cold), _each("greeted", noop), "ms"),
        Figure("spawn to tools/list, warm", _each("listed", ours), _each("listed", noop), "ms"),
        Figure("spawn to the first claim, warm", _each("called", ours), _each("called", noop), "ms"),
        Figure("spawn to the first claim, no database yet", _each("called", cold), _each("called", noop), "ms"),
        Figure("RSS after the first claim", _each("resident", ours), _each("resident", noop), "MiB", MEMORY_BOUND),
        Figure("PSS after the first claim", _each("proportional", ours), _each("proportional", noop), "MiB", MEMORY_BOUND),
    ]


def _start(command: list[str], tool: str) -> Start:
    with Server(command) as server:
        greeted = server.initialize().came - server.spawned_at
        listed = server.request("tools/list", {}).came - server.spawned_at
        called = server.call(tool, {}).came - server.spawned_at
        return Start(greeted, listed, called, *server.memory())


def _each(what: str, starts: list[Start]) -> list[float]:
    return [getattr(start, what) for start in starts]
