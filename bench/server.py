"""The cost of one server for one client: its start, its memory, and the latency and CPU time of each call."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.driver import NOOP, Server, dibs
from bench.figures import Figure, Unit

START_BOUND = 1.05
MEMORY_BOUND = 1.4
CALL_BOUND = 1.0

CLAIM = "feature_claim_and_get"
MARK = "feature_mark_in_progress"
PASS = "feature_mark_passing"
TOOLS = (CLAIM, MARK, PASS, "feature_heartbeat", "feature_get_stats", "feature_search")
SETTLE = 0.0005
"""Seconds after each answer in which a server finishes its work for that call."""
PAUSE = 0.3
"""Seconds between two paced claims, long enough that each of them looks for expired leases."""
WARM_UP = 20


@dataclass(frozen=True, slots=True)
class Start:
    """One server process: seconds from spawn to each answer, and KiB of memory after the first call."""

    initialized: float
    listed: float
    called: float
    resident: float
    proportional: float


def measure_starts(folder: Path, warm: Path, runs: int) -> list[Figure]:
    """Compare starts on the backlog `warm`, and without a database, with those of the no-op server."""
    noop: list[Start] = []
    ours: list[Start] = []
    cold: list[Start] = []
    for run in range(runs + 1):
        noop.append(_start(NOOP, "noop"))
        ours.append(_start(dibs(warm), CLAIM))
        cold.append(_start(dibs(folder / f"cold{run}.db"), CLAIM))
    for starts in (noop, ours, cold):
        del starts[0]  # it filled the page cache

    def compared(name: str, what: str, starts: list[Start], unit: Unit, bound: float | None = None) -> Figure:
        some, others = [getattr(start, what) for start in starts], [getattr(start, what) for start in noop]
        return Figure(name, some, others, unit, bound)

    return [
        compared("spawn to initialize, warm", "initialized", ours, "ms", START_BOUND),
        compared("spawn to initialize, no database yet", "initialized", cold, "ms"),
        compared("spawn to tools/list, warm", "listed", ours, "ms"),
        compared("spawn to the first claim, warm", "called", ours, "ms"),
        compared("spawn to the first claim, no database yet", "called", cold, "ms"),
        compared("RSS after the first claim", "resident", ours, "MiB", MEMORY_BOUND),
        compared("PSS after the first claim", "proportional", ours, "MiB", MEMORY_BOUND),
    ]


def _start(command: list[str], tool: str) -> Start:
    with Server(command) as server:
        initialized = server.initialize().came - server.spawned_at
        listed = server.request("tools/list", {}).came - server.spawned_at
        called = server.call(tool, {}).came - server.spawned_at
        return Start(initialized, listed, called, *server.memory())


class Costs:
    """Seconds of latency and of CPU time of one server's calls, by label."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.latency: dict[str, list[float]] = defaultdict(list)
        self.processor: dict[str, list[float]] = defaultdict(list)

    def call(self, tool: str, arguments: dict[str, Any], label: str | None = None) -> dict[str, Any]:
        """Call the tool, and record the cost under `label` (default: the tool's name)."""
        before = self._server.processor_seconds()
        timed = self._server.call(tool, arguments)
        time.sleep(SETTLE)
        self.processor[label or tool].append(self._server.processor_seconds() - before)
        self.latency[label or tool].append(timed.seconds)
        answer: dict[str, Any] = timed.answer["structuredContent"]
        return answer


def measure_calls(backlog: Path, unsynced: Path, size: int, cycles: int, paced: int) -> list[Figure]:
    """Alternate calls to Dibs and to the no-op server: `cycles` over all tools, then `paced` claims with pauses.

    The backlog `unsynced` is served with synchronous=NORMAL, which shows the cost of a claim without the disk.
    """
    with (
        Server(dibs(backlog)) as server,
        Server([*dibs(unsynced), "--synchronous", "NORMAL"]) as unsynced_server,
        Server(NOOP) as stock,
    ):
        for one in (server, unsynced_server, stock):
            one.initialize()
        for last in range(size, size - WARM_UP - cycles, -1):
            if last in (size, size - WARM_UP):  # the earlier cycles were the warm-up
                ours, theirs = Costs(server), Costs(stock)
            for _ in _cycle(ours, last):
                theirs.call("noop", {})
        normal = Costs(unsynced_server)
        for _ in range(cycles):  # a loop of its own, so that both servers are called equally often
            _claim_and_pass(normal, CLAIM, theirs, "beside unsynced")
        for _ in range(paced):
            time.sleep(PAUSE)
            _claim_and_pass(ours, "paced", theirs, "paced")
    return [
        *(figure for tool in TOOLS for figure in _compared(ours, theirs, tool)),
        *_compared(ours, theirs, "paced", f"{CLAIM} every {PAUSE:g} s", "paced"),
        *_compared(normal, theirs, CLAIM, f"{CLAIM}, not synced", "beside unsynced"),
    ]


def _cycle(costs: Costs, last: int) -> Iterator[None]:
    """Call each tool as an agent would, on the head of the queue and on feature `last`; stop after each call."""
    claimed = costs.call(CLAIM, {})
    yield
    head, token = claimed["feature"]["id"], claimed["claim"]["token"]
    costs.call("feature_heartbeat", {"feature_id": head, "claim_token": token})
    yield
    costs.call("feature_get_stats", {})
    yield
    costs.call("feature_search", {"text": "users asked", "status": "pending"})
    yield
    costs.call(PASS, {"feature_id": head, "claim_token": token})
    yield
    token = costs.call(MARK, {"feature_id": last})["token"]
    yield
    costs.call(PASS, {"feature_id": last, "claim_token": token})
    yield


def _claim_and_pass(costs: Costs, label: str, theirs: Costs, yardstick: str) -> None:
    theirs.call("noop", {}, yardstick)
    claimed = costs.call(CLAIM, {}, label)
    theirs.call("noop", {}, "between")
    done = {"feature_id": claimed["feature"]["id"], "claim_token": claimed["claim"]["token"]}
    costs.call(PASS, done, "between")


def _compared(ours: Costs, theirs: Costs, label: str, name: str | None = None, yardstick: str = "noop") -> list[Figure]:
    bound = CALL_BOUND if name is None and label in (CLAIM, MARK) else None
    title = name or label
    return [
        Figure(f"{title}, latency", ours.latency[label], theirs.latency[yardstick], "us", bound),
        Figure(f"{title}, CPU", ours.processor[label], theirs.processor[yardstick], "us", bound),
    ]
