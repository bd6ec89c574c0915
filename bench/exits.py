"""How soon a server ends that is told to by a signal, with status 0 and nothing left claimed or half done."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from bench import backlog
from bench.driver import Failed, Server, dibs
from bench.figures import Promise
from bench.foreign_lock import ForeignLock

BOUND = 1.0
BRIEF = "feature_mark_in_progress"
SETTLE = 0.3
"""Seconds after which a call that was sent is surely waiting."""

End = Callable[[Path, Server, int, signal.Signals], float]
"""Ends a server on the backlog at once, with a witness on the same, and a feature that nobody has claimed yet."""


def measure(folder: Path, runs: int) -> Iterator[Promise]:
    """Signal idle servers, servers that hold a claim, and servers whose call waits for a foreign lock."""
    path = backlog.make(folder / "exits.db", 2 * len(STATES) * runs)
    features = count(1)  # one that was claimed too often is stuck
    with Server(dibs(path)) as witness:
        witness.initialize()
        for number in (signal.SIGTERM, signal.SIGINT):
            for state, end in STATES.items():
                waits = [end(path, witness, next(features), number) for _ in range(runs)]
                yield Promise(f"{number.name} until exit, {state}", waits, BOUND)


def _idle(path: Path, _witness: Server, _feature: int, number: signal.Signals) -> float:
    with _opened(path) as server:
        return server.end(number)


def _holding(path: Path, witness: Server, feature: int, number: signal.Signals) -> float:
    """The claim is given back before the server is gone."""
    with _opened(path) as server:
        server.call(BRIEF, {"feature_id": feature})
        seconds = server.end(number)
    _expect(witness, feature, "pending")
    return seconds


def _behind_a_lock(path: Path, witness: Server, feature: int, number: signal.Signals) -> float:
    """What waits for the lock is never done, also not when the lock is free again."""
    with _opened(path) as server, ForeignLock(path):
        server.ask(BRIEF, {"feature_id": feature})
        time.sleep(SETTLE)
        seconds = server.end(number)
    _expect(witness, feature, "pending")
    return seconds


def _holding_behind_a_lock(path: Path, witness: Server, feature: int, number: signal.Signals) -> float:
    """A claim that it cannot give back for the lock ends with its lease."""
    with _opened(path) as server:
        server.call(BRIEF, {"feature_id": feature})
        with ForeignLock(path):
            server.ask("feature_mark_passing", {"feature_id": feature})
            time.sleep(SETTLE)
            seconds = server.end(number)
    _expect(witness, feature, "in_progress")
    return seconds


STATES: dict[str, End] = {
    "idle": _idle,
    "holding a claim": _holding,
    "a call behind a foreign lock": _behind_a_lock,
    "a claim and a call behind a foreign lock": _holding_behind_a_lock,
}


def _opened(path: Path) -> Server:
    """A server that has opened its database."""
    server = Server(dibs(path))
    server.initialize()
    server.call("feature_get_stats", {})
    return server


def _expect(witness: Server, feature: int, status: str) -> None:
    found = witness.call("feature_get_by_id", {"feature_id": feature}).answer["structuredContent"]["status"]
    if found != status:
        raise Failed(f"feature {feature} is {found}, and should be {status}")
