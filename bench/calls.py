"""What a call over stdio costs: latency and CPU time, against a stock tool that does nothing."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.driver import NOOP, Server, dibs
from bench.figures import Figure

BOUND = 1.0
CLAIM = "feature_claim_and_get"
BRIEF = "feature_mark_in_progress"
TOOLS = (CLAIM, BRIEF, "feature_mark_passing", "feature_heartbeat", "feature_get_stats", "feature_search")
SETTLE = 0.0005
"""Seconds after each answer, in which a server ends what it still does for that call."""
PAUSE = 0.3
"""Seconds between two paced claims: long enough that each of them looks for leases that have run out."""
WARM_UP = 20


class Costs:
    """Seconds of latency and of CPU time, by tool, of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.latency: dict[str, list[float]] = defaultdict(list)
        self.processor: dict[str, list[float]] = defaultdict(list)

    def call(self, tool: str, arguments: dict[str, Any], label: str | None = None) -> dict[str, Any]:
        """Call the tool, and keep what it cost under `label` (default: its name)."""
        before = self._server.processor_seconds()
        timed = self._server.call(tool, arguments)
        time.sleep(SETTLE)
        self.processor[label or tool].append(self._server.processor_seconds() - before)
        self.latency[label or tool].append(timed.seconds)
        answer: dict[str, Any] = timed.answer["structuredContent"]
        return answer


def measure(backlog: Path, unsynced: Path, size: int, cycles: int, paced: int) -> list[Figure]:
    """Alternate calls to the servers: so many cycles over all tools, then so many claims with pauses.

    The backlog `unsynced` is served with synchronous=NORMAL: what a claim costs without the disk's part.
    """
    with (
        Server(dibs(backlog)) as server,
        Server([*dibs(unsynced), "--synchronous", "NORMAL"]) as hasty,
        Server(NOOP) as stock,
    ):
        for one in (server, hasty, stock):
            one.initialize()
        for last in range(size, size - WARM_UP - cycles, -1):
            if last in (size, size - WARM_UP):  # what came before was to warm up
                ours, theirs = Costs(server), Costs(stock)
            for _ in _cycle(ours, last):
                theirs.call("noop", {})
        hurried = Costs(hasty)
        for _ in range(cycles):  # a loop of its own, so that both servers are called equally often
            _claim_and_pass(hurried, CLAIM, theirs, "beside unsynced")
        for _ in range(paced):
            time.sleep(PAUSE)
            _claim_and_pass(ours, "paced", theirs, "paced")
    return [
        *(figure for tool in TOOLS for figure in _compared(ours, theirs, tool)),
        *_compared(ours, theirs, "paced", f"{CLAIM} every {PAUSE:g} s", "paced"),
        *_compared(hurried, theirs, CLAIM, f"{CLAIM}, not synced", "beside unsynced"),
    ]


def _cycle(costs: Costs, last: int) -> Iterator[None]:
    """Use each tool as an agent would, on the head of the queue and on feature `last`; stops after each call."""
    claimed = costs.call(CLAIM, {})
    yield
    head, token = claimed["feature"]["id"], claimed["claim"]["token"]
    costs.call("feature_heartbeat", {"feature_id": head, "claim_token": token})
    yield
    costs.call("feature_get_stats", {})
    yield
    costs.call("feature_search", {"text": "users asked", "status": "pending"})
    yield
    costs.call("feature_mark_passing", {"feature_id": head, "claim_token": token})
    yield
    token = costs.call(BRIEF, {"feature_id": last})["token"]
    yield
    costs.call("feature_mark_passing", {"feature_id": last, "claim_token": token})
    yield


def _claim_and_pass(costs: Costs, label: str, theirs: Costs, yardstick: str) -> None:
    theirs.call("noop", {}, yardstick)
    claimed = costs.call(CLAIM, {}, label)
    theirs.call("noop", {}, "between")
    done = {"feature_id": claimed["feature"]["id"], "claim_token": claimed["claim"]["token"]}
    costs.call("feature_mark_passing", done, "between")


def _compared(
    ours: Costs, theirs: Costs, label: str, name: str | None = None, yardstick: str = "noop"
) -> list[Figure]:
    bound = BOUND if name is None and label in (CLAIM, BRIEF) else None
    title = name or label
    return [
        Figure(f"{title}, latency", ours.latency[label], theirs.latency[yardstick], "us", bound),
        Figure(f"{title}, CPU", ours.processor[label], theirs.processor[yardstick], "us", bound),
    ]
