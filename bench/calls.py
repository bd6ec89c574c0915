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


def measure(backlog: Path, size: int, cycles: int, paced: int) -> list[Figure]:
    """Alternate calls to both servers: so many cycles over all tools, then so many claims with pauses."""
    with Server(dibs(backlog)) as server, Server(NOOP) as stock:
        server.initialize()
        stock.initialize()
        for costs, yardstick, rounds in ((Costs(server), Costs(stock), WARM_UP), (Costs(server), Costs(stock), cycles)):
            for last in range(size, size - rounds, -1):
                for _ in _cycle(costs, last):
                    yardstick.call("noop", {})
            size -= rounds
        for _ in range(paced):
            _claim_with_pause(costs, yardstick)
    return [figure for tool in TOOLS for figure in _figures(costs, yardstick, tool, "noop")] + _figures(
        costs, yardstick, "paced", "paced", f"{CLAIM} every {PAUSE:g} s"
    )


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


def _claim_with_pause(costs: Costs, yardstick: Costs) -> None:
    time.sleep(PAUSE)
    yardstick.call("noop", {}, "paced")
    claimed = costs.call(CLAIM, {}, "paced")
    done = {"feature_id": claimed["feature"]["id"], "claim_token": claimed["claim"]["token"]}
    costs.call("feature_mark_passing", done)


def _figures(costs: Costs, yardstick: Costs, ours: str, theirs: str, name: str | None = None) -> list[Figure]:
    bound = BOUND if ours in (CLAIM, BRIEF) else None
    return [
        Figure(f"{name or ours}, latency", costs.latency[ours], yardstick.latency[theirs], "us", bound),
        Figure(f"{name or ours}, CPU", costs.processor[ours], yardstick.processor[theirs], "us", bound),
    ]
