"""Whether what a claim costs depends on how much there is: each statement must find its rows by an index."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from bench import backlog
from bench.figures import Figure
from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.rules.claimant import Holder
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
"""Features of each thousand that depend on the next one, so that there are more edges where there is more."""

Work = Callable[[Database, int], None]


def measure(folder: Path) -> list[Figure]:
    """Compare the same moves on a large backlog, with ten times the events and edges, and on a small one."""
    # The disk's time is the same for both, and would hide the rest.
    small = backlog.opened(backlog.make(folder / "small.db", SMALL), "NORMAL")
    large = backlog.opened(backlog.make(folder / "large.db", LARGE), "NORMAL")
    for database, size in ((small, SMALL), (large, LARGE)):
        for start in range(1, size, 1_000):
            _link(database, start, CHAIN)
    figures = [_compared(name, work, small, large) for name, work in MOVES.items()]
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
    return Figure(
        f"{name}, {LARGE:,} features against {SMALL:,}", seconds[large][1:], seconds[small][1:], "us", BOUND
    )


def _claim_and_pass(database: Database, number: int) -> None:
    holder = Holder(f"agent {number}", named=True, session="bench", lease=120)
    claimed = database.write_now(lambda tx: claim(tx, holder))
    assert isinstance(claimed, Claimed), "the backlog is long enough"
    work, lease = claimed.feature, claimed.claim
    database.write_now(lambda tx: mark_passing(tx, holder.name, work.id, lease.token))


def _keep_leases(database: Database, _number: int) -> None:
    def look(tx: Transaction) -> None:
        renew(tx, ["0000000000000"])
        reap(tx)

    database.write_now(look)


def _add_edge(database: Database, number: int) -> None:
    """Let a feature depend on the head of a chain, which is followed to its end to find no cycle."""
    database.write_now(lambda tx: add_dependency(tx, "planner", 900 - number, 1))


def _create(database: Database, number: int) -> None:
    feature = NewFeature(
        category="later", name=f"Later {number}", description="Found while building.", steps=["Do it"]
    )
    database.write_now(lambda tx: create(tx, "planner", feature))


def _skip(database: Database, number: int) -> None:
    database.write_now(lambda tx: skip(tx, "agent", 950 + number, "cannot be built now"))


def _link(database: Database, start: int, count: int) -> None:
    """Let so many features depend on the one after them."""

    def link(tx: Transaction) -> None:
        for one in range(start, start + count):
            add_dependency(tx, "planner", one, one + 1)

    database.write_now(link)


MOVES: dict[str, Work] = {
    "claim and pass": _claim_and_pass,
    "renew and reap": _keep_leases,
    "add a dependency": _add_edge,
    "create": _create,
    "skip": _skip,
}
