"""Measures whether the cost of a verb grows with the backlog: each statement must find its rows by an index."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from bench import backlogs
from bench.figures import Figure
from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.verbs.claim import claim
from dibs.verbs.create import create
from dibs.verbs.depend import add_dependency
from dibs.verbs.lease import reap, renew
from dibs.verbs.outcome import mark_passing
from dibs.verbs.skip import skip
from dibs_schema.answers import Claimed
from dibs_schema.inputs import NewFeature

BOUND = 1.5
SMALL, LARGE = 2_000, 20_000
ROUNDS = 20
CHAIN = 200
"""Features of each thousand that depend on the next feature, so that a larger backlog has more dependencies."""

Work = Callable[[Database, int], None]


def measure(folder: Path) -> list[Figure]:
    """Compare the same verbs on a large backlog, with ten times the events and dependencies, and on a small one."""
    # Unsynced: the disk takes the same time for both, and would hide the rest.
    small = backlogs.opened(backlogs.make(folder / "small.db", SMALL), "NORMAL")
    large = backlogs.opened(backlogs.make(folder / "large.db", LARGE), "NORMAL")
    for database, size in ((small, SMALL), (large, LARGE)):
        for start in range(1, size, 1_000):
            _link(database, start, CHAIN)
    figures = [_compared(name, work, small, large) for name, work in VERBS.items()]
    small.close(5)
    large.close(5)
    return figures


def _compared(name: str, work: Work, small: Database, large: Database) -> Figure:
    seconds: dict[Database, list[float]] = {small: [], large: []}
    for number in range(-1, ROUNDS):
        for database, samples in seconds.items():
            began = time.perf_counter()
            work(database, number + 1)
            samples.append(time.perf_counter() - began)
    return Figure(f"{name}, {LARGE:,} features against {SMALL:,}", seconds[large][1:], seconds[small][1:], "us", BOUND)


def _claim_and_pass(database: Database, number: int) -> None:
    holder = backlogs.holder(f"agent {number}")
    claimed = database.write_now(lambda tx: claim(tx, holder))
    assert isinstance(claimed, Claimed), "the backlog is long enough"
    work, lease = claimed.feature, claimed.claim
    database.write_now(lambda tx: mark_passing(tx, holder.name, work.id, lease.token))


def _keep_leases(database: Database, _number: int) -> None:
    def look(tx: Transaction) -> None:
        renew(tx, ["0000000000000"])
        reap(tx)

    database.write_now(look)


def _add_dependency(database: Database, number: int) -> None:
    """Let a feature depend on the head of a chain; the search for a cycle follows the chain to its end."""
    database.write_now(lambda tx: add_dependency(tx, "planner", 900 - number, 1))


def _create(database: Database, number: int) -> None:
    feature = NewFeature(
        category="later", name=f"Later {number}", description="Found during the build.", steps=["Do it"]
    )
    database.write_now(lambda tx: create(tx, "planner", feature))


def _skip(database: Database, number: int) -> None:
    database.write_now(lambda tx: skip(tx, "agent", 950 + number, "cannot be built now"))


def _link(database: Database, start: int, count: int) -> None:
    """Let each of `count` features depend on the next feature."""

    def link(tx: Transaction) -> None:
        for one in range(start, start + count):
            add_dependency(tx, "planner", one, one + 1)

    database.write_now(link)


VERBS: dict[str, Work] = {
    "claim and pass": _claim_and_pass,
    "renew and reap": _keep_leases,
    "add a dependency": _add_dependency,
    "create": _create,
    "skip": _skip,
}
