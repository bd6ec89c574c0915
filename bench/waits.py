"""Whether what is promised in seconds is kept: under a foreign lock, after a kill, at a commit, at a signal."""

from __future__ import annotations

import random
import signal
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import backlog, exits
from bench.driver import Failed, Sent, Server, dibs
from bench.figures import Promise
from bench.foreign_lock import ForeignLock

READ_BOUND = 0.05
LEASE = 2.0
TAKE_OVER_BOUND = LEASE + 1
WAKE_BOUND = 0.25

CLAIM, BRIEF, PASS = "feature_claim_and_get", "feature_mark_in_progress", "feature_mark_passing"
WAITING = {"wait_seconds": 45}
SIZE = 2_000
NEW = {"category": "later", "name": "Wake", "description": "Found while building.", "steps": ["Do it"]}
READS: dict[str, dict[str, Any]] = {
    "feature_get_by_id": {"feature_id": 1},
    "feature_get_summary": {"feature_ids": [1, 2]},
    "feature_search": {"text": "users asked"},
    "feature_get_ready": {},
    "feature_get_blocked": {},
    "feature_get_graph": {},
    "feature_get_history": {"feature_id": 1},
    "feature_get_stats": {},
}
PAUSE = 0.005
"""Seconds between two reads, at most: they come at moments that nothing else keeps step with."""
SETTLE = 0.3
"""Seconds after which a call that was sent is surely waiting."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How often each wait is measured, and for how many seconds a foreign lock is held."""

    locks: int
    locked: float
    take_overs: int
    wakes: int
    exits: int


FULL = Effort(locks=3, locked=5.0, take_overs=5, wakes=20, exits=5)
QUICK = Effort(locks=1, locked=1.5, take_overs=1, wakes=3, exits=1)


def measure(folder: Path, effort: Effort) -> list[Promise]:
    """Measure every promise. Raises Failed where something does not happen that is waited for."""
    return [
        *_under_a_lock(backlog.make(folder / "locked.db", SIZE), effort.locks, effort.locked),
        _take_over(folder, effort.take_overs),
        *_wake(backlog.make(folder / "wake.db", 0), effort.wakes),
        *exits.measure(folder, effort.exits),
    ]


def _under_a_lock(path: Path, locks: int, locked: float) -> list[Promise]:
    """Ping and read while another program holds the lock and a write waits for it."""
    looks: dict[str, list[float]] = defaultdict(list)
    writes: list[float] = []
    with Server(dibs(path)) as server:
        server.initialize()
        _look(server, defaultdict(list))  # the first of each prepares its statements
        for feature in range(1, locks + 1):
            with ForeignLock(path) as lock:
                write = server.ask(BRIEF, {"feature_id": feature})
                freed = time.perf_counter() + locked
                while time.perf_counter() < freed:
                    _look(server, looks)
                freed = time.perf_counter()
                lock.let_go()
                late = server.receive(write).came - freed
            if late < 0:
                raise Failed("a write was made while another program held the lock")
            writes.append(late)
    return [
        *(Promise(f"{what}, under a foreign lock", took, READ_BOUND) for what, took in looks.items()),
        Promise(f"a write, after a foreign lock of {locked:g} s", writes),
    ]


def _look(server: Server, looks: dict[str, list[float]]) -> None:
    looks["ping"].append(server.request("ping", {}).seconds)
    for tool, arguments in READS.items():
        time.sleep(random.uniform(0, PAUSE))
        looks[tool].append(server.call(tool, arguments).seconds)


def _take_over(folder: Path, runs: int) -> Promise:
    """Kill a holder at various moments between two renewals of its lease, while another server waits."""
    waits = []
    for run in range(runs):
        path = backlog.make(folder / f"take_over{run}.db", 1)
        with _lasting(path) as holder, _lasting(path) as heir:
            holder.call(CLAIM, {})
            waiting = heir.ask(CLAIM, WAITING)
            time.sleep(SETTLE + run / runs * LEASE / 3)
            killed = time.perf_counter()
            holder.end(signal.SIGKILL)
            waits.append(_claimed_at(heir, waiting)[1] - killed)
    return Promise(f"take-over from a killed holder, lease {LEASE:g} s", waits, TAKE_OVER_BOUND)


def _lasting(path: Path) -> Server:
    """A server whose claims outlive it by the short lease, and which has opened its database."""
    server = Server([*dibs(path), "--lease", f"{LEASE}"])
    server.initialize()
    server.call("feature_get_stats", {})
    return server


def _claimed_at(server: Server, waiting: Sent) -> tuple[int, float]:
    """Which feature a claim that waited got, and when. Raises Failed where it got none."""
    timed = server.receive(waiting)
    answer: dict[str, Any] = timed.answer["structuredContent"]
    if answer["state"] != "claimed":
        raise Failed(f"a claim waited in vain: {answer}")
    return answer["feature"]["id"], timed.came


def _wake(path: Path, runs: int) -> list[Promise]:
    """Let a claim of one server wait for what another creates, or unblocks."""
    created, unblocked = [], []
    with Server(dibs(path)) as waiter, Server(dibs(path)) as worker:
        waiter.initialize()
        worker.initialize()
        _begin(worker, _create(worker))  # while it is under way, there is something to wait for
        for _ in range(runs):
            created.append(_seconds_to_wake(waiter, worker, "feature_create", NEW))
            needed = _create(worker)
            _begin(worker, needed)
            _create(worker, dependencies=[needed])
            unblocked.append(_seconds_to_wake(waiter, worker, PASS, {"feature_id": needed}))
    return [
        Promise("a waiting claim, after another server creates a feature", created, WAKE_BOUND),
        Promise("a waiting claim, after another server unblocks a feature", unblocked, WAKE_BOUND),
    ]


def _seconds_to_wake(waiter: Server, worker: Server, tool: str, arguments: dict[str, Any]) -> float:
    """From the answer to the worker's call to the answer of the waiter's claim, which may come first."""
    waiting = waiter.ask(CLAIM, WAITING)
    time.sleep(SETTLE + random.uniform(0, SETTLE))
    acknowledged = worker.call(tool, arguments).came
    feature, came = _claimed_at(waiter, waiting)
    waiter.call(PASS, {"feature_id": feature})
    return came - acknowledged


def _create(server: Server, **more: Any) -> int:
    made: int = server.call("feature_create", {**NEW, **more}).answer["structuredContent"]["ids"][0]
    return made


def _begin(server: Server, feature: int) -> None:
    server.call(BRIEF, {"feature_id": feature})
