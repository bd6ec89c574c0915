"""Claims of many processes on one PostgreSQL server: the verb, against a psycopg loop with the same statement."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import psycopg

from bench import backlogs
from bench.figures import Figure
from bench.processes import Barrier, run_together
from clusters.cluster import Cluster
from dibs.database import Database, WriteJob
from dibs.database.compiled import prepared
from dibs.database.transaction import Transaction
from dibs.rules.claimant import Holder, new_session, new_token
from dibs.verbs.claim import claim, claim_row
from dibs.verbs.claim_in_one_statement import (
    claim_in_one_statement,
    claim_row_in_one_statement,
    one_statement,
    one_statement_parameters,
)

BOUND = 0.6
PROCESSES = (8, 32)
WARM_UP = 5
"""Claims of each process before the measurement: psycopg prepares a statement after five."""

Claim = Callable[[int], object]
"""Makes the claim with the given number, and returns a true value if it got a feature."""


def measure(folder: Path, rounds: int, claims: int) -> Iterator[Figure]:
    """Compare claims per second of 8 and of 32 processes, in alternating rounds of `claims` claims in total.

    The server is the wheel's, with fsync on; each round drains its own project.
    """
    with Cluster(folder / "cluster", max_connections=200, shared_buffers="128MB") as cluster:
        for processes in PROCESSES:
            each = max(10, claims // processes)
            rates: dict[str, list[float]] = {"bare": [], "take": [], "claim": []}
            for _ in range(rounds):
                for kind, found in rates.items():
                    found.append(_drain(cluster.url(), kind, processes, each))
            yield Figure(f"claims, {processes} processes", rates["take"], rates["bare"], "/s", BOUND)
            yield Figure(f"claims with hand-over, {processes} processes", rates["claim"], rates["bare"], "/s")


def _drain(url: str, kind: str, processes: int, each: int) -> float:
    """Return the claims per second of `processes` processes that claim `each` features each, all at once."""
    project = new_session()
    backlogs.make(url, processes * (each + WARM_UP), project)
    spans = run_together(_claim, [(url, project, kind, each)] * processes)
    span: float = max(end for _, end in spans) - min(start for start, _ in spans)
    return processes * each / span


def _claim(_number: int, barrier: Barrier, url: str, project: str, kind: str, each: int) -> tuple[float, float]:
    """Return the times at which this process began and ended its claims."""
    database = backlogs.opened(url, project=project)
    database.write_now(lambda _: None)
    one = _by_psycopg(database, url) if kind == "bare" else _by_verb(database, kind)
    for number in range(WARM_UP):
        one(number)
    barrier.wait()
    start = time.monotonic()
    for number in range(each):
        assert one(number), "the backlog is long enough"
    end = time.monotonic()
    database.close(5)
    return start, end


def _by_verb(database: Database, kind: str) -> Claim:
    """Return a function that claims as the tools do, each time with a new session, which may hold only a few claims."""
    alone, ordinary = (claim_row_in_one_statement, claim_row) if kind == "take" else (claim_in_one_statement, claim)

    def make(_: int) -> object:
        who = Holder("client-bench", named=False, session=new_session(), lease=120)
        return database.write_now(MeasuredClaim(partial(ordinary, holder=who), partial(alone, holder=who)))

    return make


class MeasuredClaim(WriteJob[object]):
    """A claim that is tried as one statement first."""

    def __init__(self, claim: Callable[[Transaction], object], alone: Callable[[Transaction], object]) -> None:
        self._claim = claim
        self._alone = alone

    def run(self, tx: Transaction) -> object:
        return self._claim(tx)

    def autocommit(self) -> Callable[[Transaction], object]:
        return self._alone


def _by_psycopg(database: Database, url: str) -> Claim:
    """Return a function that claims with the same statement by psycopg, in autocommit."""
    who = Holder("client-bench", named=False, session="", lease=120)
    text, given = database.read_now(
        lambda tx: (
            (statement := prepared(one_statement("priority", by_category=False), tx.connection.dialect)).text,
            statement.values(tx.parameters | one_statement_parameters(tx, who)),
        )
    )
    connection = psycopg.connect(url, autocommit=True)
    numbers = count()

    def make(_: int) -> object:
        fresh = {"fresh": new_token(), "session": f"{id(connection)}-{next(numbers)}"}
        now = time.time()
        fresh |= {"counted_session": fresh["session"]}
        return connection.execute(text, given | fresh | {"now": now, "reading": now}).fetchall()

    return make
