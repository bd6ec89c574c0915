"""Measures whether Dibs keeps its promises in seconds: under a foreign lock, after a kill, a commit or a signal."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench import backlogs
from bench.driver import Failed, Sent, Server, dibs
from bench.figures import Promise

READ_BOUND = 0.05
LEASE = 2.0
TAKE_OVER_BOUND = LEASE + 1
WAKE_BOUND = 0.25
EXIT_BOUND = 1.0

CLAIM, MARK, PASS = "feature_claim_and_get", "feature_mark_in_progress", "feature_mark_passing"
WAITING = {"wait_seconds": 45}
SIZE = 2_000
NEW: dict[str, Any] = {
    "category": "later",
    "name": "Wake",
    "description": "Found while building.",
    "steps": ["Do it"],
    "allow_duplicates": True,
}

READS: dict[str, dict[str, Any]] = {
    "feature_get_by_id": {"feature_id": 1},
    "feature_get_summary": {"feature_ids": [1, 2]},
    "feature_search": {"text": "users asked"},
    "feature_get_ready": {},
    "feature_get_blocked": {},
    "feature_get_graph": {},
    "feature_get_history": {"feature_id": 1},
    "feature_get_stats": {},
    "feature_get_overview": {},
}
PAUSE = 0.005
"""The most seconds between two reads. Pauses are random, so that the reads do not coincide with other work."""
SETTLE = 0.3
"""Seconds after which a call that was sent certainly waits."""

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
connection.rollback()
connection.close()
"""
"""A program that knows nothing of Dibs, and holds the write lock until its input ends."""


@dataclass(frozen=True, slots=True)
class Effort:
    """The number of measurements of each wait, and the seconds for which a foreign lock is held."""

    locks: int
    locked: float
    take_overs: int
    wakes: int
    exits: int


FULL = Effort(locks=3, locked=5.0, take_overs=5, wakes=20, exits=5)
QUICK = Effort(locks=1, locked=1.5, take_overs=1, wakes=3, exits=1)


def measure(folder: Path, effort: Effort) -> Iterator[Promise]:
    """Measure every promise. Raises Failed if an awaited event does not happen."""
    yield from _under_a_lock(backlogs.make(folder / "locked.db", SIZE), effort.locks, effort.locked)
    yield _take_over(folder, effort.take_overs)
    yield from _wake(backlogs.make(folder / "wake.db", 0), effort.wakes)
    yield from _exits(folder, effort.exits)


class ForeignLock:
    """Another program that holds BEGIN IMMEDIATE on the database in `path` until the block ends."""

    def __init__(self, path: Path) -> None:
        self._holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"held\n", "the lock is free, or soon will be"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self._holder.wait(20)
        assert self._holder.stdout is not None
        self._holder.stdout.close()

    def release(self) -> None:
        """Tell the process to release the lock, and do not wait for it."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()


def _opened(path: Path, *flags: str) -> Server:
    """Start a server, and wait until it has opened its database."""
    server = Server([*dibs(path), *flags])
    server.initialize()
    server.call("feature_get_stats", {})
    return server


def _under_a_lock(path: Path, locks: int, locked: float) -> Iterator[Promise]:
    """Ping and read while another program holds the write lock and a write waits for it."""
    reads: dict[str, list[float]] = defaultdict(list)
    writes: list[float] = []
    with Server(dibs(path)) as server:
        server.initialize()
        _read(server, defaultdict(list))  # the first call of each tool prepares its statements
        for feature in range(1, locks + 1):
            with ForeignLock(path) as lock:
                write = server.ask(MARK, {"feature_id": feature})
                released = time.perf_counter() + locked
                while time.perf_counter() < released:
                    _read(server, reads)
                released = time.perf_counter()
                lock.release()
                late = server.receive(write).came - released
            if late < 0:
                raise Failed("a write was made while another program held the lock")
            writes.append(late)
    for what, took in reads.items():
        yield Promise(f"{what}, under a foreign lock", took, READ_BOUND)
    yield Promise(f"a write, after a foreign lock of {locked:g} s", writes)


def _read(server: Server, reads: dict[str, list[float]]) -> None:
    reads["ping"].append(server.request("ping", {}).seconds)
    for tool, arguments in READS.items():
        time.sleep(random.uniform(0, PAUSE))
        reads[tool].append(server.call(tool, arguments).seconds)


def _take_over(folder: Path, runs: int) -> Promise:
    """Kill a holder at various moments between two renewals of its lease, while another server waits."""
    waits = []
    for run in range(runs):
        path = backlogs.make(folder / f"take_over{run}.db", 1)
        lease = ("--lease", f"{LEASE}")
        with _opened(path, *lease) as holder, _opened(path, *lease) as waiter:
            holder.call(CLAIM, {})
            waiting = waiter.ask(CLAIM, WAITING)
            time.sleep(SETTLE + run / runs * LEASE / 3)
            killed = time.perf_counter()
            holder.end(signal.SIGKILL)
            waits.append(_claimed_at(waiter, waiting)[1] - killed)
    return Promise(f"take-over from a killed holder, lease {LEASE:g} s", waits, TAKE_OVER_BOUND)


def _claimed_at(server: Server, waiting: Sent) -> tuple[int, float]:
    """Return the feature that a waiting claim got, and the time. Raises Failed if it got none."""
    timed = server.receive(waiting)
    answer: dict[str, Any] = timed.answer["structuredContent"]
    if answer["state"] != "claimed":
        raise Failed(f"a waiting claim got nothing: {answer}")
    return answer["feature"]["id"], timed.came


def _wake(path: Path, runs: int) -> Iterator[Promise]:
    """Let a claim of one server wait for a feature that another server creates or unblocks."""
    created, unblocked = [], []
    with Server(dibs(path)) as waiter, Server(dibs(path)) as worker:
        waiter.initialize()
        worker.initialize()
        worker.call(MARK, {"feature_id": _create(worker)})  # a claim waits only while work is under way
        for _ in range(runs):
            created.append(_seconds_to_wake(waiter, worker, "feature_create", NEW))
            needed = _create(worker)
            worker.call(MARK, {"feature_id": needed})
            _create(worker, dependencies=[needed])
            unblocked.append(_seconds_to_wake(waiter, worker, PASS, {"feature_id": needed}))
    yield Promise("a waiting claim, after another server creates a feature", created, WAKE_BOUND)
    yield Promise("a waiting claim, after another server unblocks a feature", unblocked, WAKE_BOUND)


def _seconds_to_wake(waiter: Server, worker: Server, tool: str, arguments: dict[str, Any]) -> float:
    """Return the seconds from the answer to the worker's call to the answer to the waiting claim, which may come first."""
    waiting = waiter.ask(CLAIM, WAITING)
    time.sleep(SETTLE + random.uniform(0, SETTLE))
    acknowledged = worker.call(tool, arguments).came
    feature, came = _claimed_at(waiter, waiting)
    waiter.call(PASS, {"feature_id": feature})
    return came - acknowledged


def _create(server: Server, **more: Any) -> int:
    made: int = server.call("feature_create", {**NEW, **more}).answer["structuredContent"]["ids"][0]
    return made


Exit = Callable[[Path, Server, int, signal.Signals], float]
"""Signals a new server on the backlog and returns the seconds until its exit.

It gets a second server, which reads the result, and an unclaimed feature.
"""


def _exits(folder: Path, runs: int) -> Iterator[Promise]:
    """Signal idle servers, servers that hold a claim, and servers whose call waits for a foreign lock."""
    path = backlogs.make(folder / "exits.db", 2 * len(EXITS) * runs)
    features = count(1)  # a feature that was claimed too often is stuck
    with _opened(path) as witness:
        for number in (signal.SIGTERM, signal.SIGINT):
            for state, end in EXITS.items():
                waits = [end(path, witness, next(features), number) for _ in range(runs)]
                yield Promise(f"{number.name} until exit, {state}", waits, EXIT_BOUND)


def _idle(path: Path, _witness: Server, _feature: int, number: signal.Signals) -> float:
    with _opened(path) as server:
        return server.end(number)


def _holding(path: Path, witness: Server, feature: int, number: signal.Signals) -> float:
    """The server releases the claim before it exits."""
    with _opened(path) as server:
        server.call(MARK, {"feature_id": feature})
        seconds = server.end(number)
    _expect(witness, feature, "pending")
    return seconds


def _behind_a_lock(path: Path, witness: Server, feature: int, number: signal.Signals) -> float:
    """A call that waits for the lock never takes effect, even when the lock is free again."""
    with _opened(path) as server, ForeignLock(path):
        server.ask(MARK, {"feature_id": feature})
        time.sleep(SETTLE)
        seconds = server.end(number)
    _expect(witness, feature, "pending")
    return seconds


def _holding_behind_a_lock(path: Path, witness: Server, feature: int, number: signal.Signals) -> float:
    """A claim that the server cannot release because of the lock ends with its lease."""
    with _opened(path) as server:
        server.call(MARK, {"feature_id": feature})
        with ForeignLock(path):
            server.ask(PASS, {"feature_id": feature})
            time.sleep(SETTLE)
            seconds = server.end(number)
    _expect(witness, feature, "in_progress")
    return seconds


EXITS: dict[str, Exit] = {
    "idle": _idle,
    "holding a claim": _holding,
    "a call behind a foreign lock": _behind_a_lock,
    "a claim and a call behind a foreign lock": _holding_behind_a_lock,
}


def _expect(witness: Server, feature: int, status: str) -> None:
    found = witness.call("feature_get_by_id", {"feature_id": feature}).answer["structuredContent"]["status"]
    if found != status:
        raise Failed(f"feature {feature} is {found}, and should be {status}")
