"""The cost of a claim without MCP, against the same statements on the bare driver, by one and by many processes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from bench import backlogs
from bench.figures import Figure
from bench.processes import Barrier, queue_held, run_together
from dibs.database import Database
from dibs.database.sqlite.driver import driver
from dibs.database.sqlite.writer_queue import WriterQueue
from dibs.database.transaction import Transaction
from dibs.rules.claimant import Holder
from dibs.verbs.claim import claim, claim_row

RATE_BOUND = 0.5
BATCH = 20
PROCESSES = 32
PROCESSES_BOUND = 0.7
EACH = 20
"""Claims of each process in a round."""

PRAGMAS = (
    "busy_timeout = 5000",
    "synchronous = FULL",
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "mmap_size = 0",
    "wal_autocheckpoint = 1000",
    "journal_size_limit = 16777216",
)
CLAIM = """
UPDATE features SET status = 'in_progress', attempts = attempts + 1, not_before = NULL, claim_token = :token,
    claimed_by = :holder, claim_session = 'raw', claimed_at = :now, lease_clock = 'raw', lease_ends = :reading + 120,
    lease_seconds = 120, lease_expires_at = :now + 120, last_activity_at = :now, updated_at = :now
WHERE status = 'pending' AND unmet_dependencies = 0
    AND (not_before IS NULL OR not_before <= :now OR not_before > :now + 600)
    AND (SELECT count(*) FROM features mine WHERE mine.project_id = 1 AND mine.status = 'in_progress'
         AND mine.claimed_by = :holder) < 1
    AND project_id = 1
    AND id = (SELECT queue.id FROM features queue WHERE queue.project_id = 1 AND queue.status = 'pending'
              AND queue.unmet_dependencies = 0
              AND (queue.not_before IS NULL OR queue.not_before <= :now OR queue.not_before > :now + 600)
              ORDER BY queue.skips, queue.priority, queue.place, queue.id LIMIT 1)
RETURNING id, category, name, description, steps, claim_token, lease_expires_at
"""
EVENT = """
INSERT INTO events (project_id, feature_id, at, agent, kind, from_status, to_status)
VALUES (1, ?, ?, ?, 'claim', 'pending', 'in_progress')
"""


class BareClaims:
    """Claims with the guarded statement and the event of the verb, on the driver alone."""

    def __init__(self, path: Path) -> None:
        self._connection: Any = driver().connect(str(path), isolation_level=None)
        for pragma in PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")

    def claim(self, holder: str) -> tuple[Any, ...]:
        """Claim the next ready feature; return its row."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        now = time.time()
        given = {"token": secrets.token_hex(6), "holder": holder, "now": now, "reading": time.monotonic()}
        rows: list[tuple[Any, ...]] = execute(CLAIM, given).fetchall()
        execute(EVENT, (rows[0][0], now, holder))
        execute("COMMIT")
        return rows[0]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def measure(folder: Path, batches: int, rounds: int) -> Iterator[Figure]:
    """Compare claims of one process, then those of many processes with those of one."""
    yield from _one_process(folder, batches)
    yield from _many_processes(folder, rounds)


def _one_process(folder: Path, batches: int) -> Iterator[Figure]:
    """Return claims per second in alternating batches, each kind on its own backlog."""
    size = (batches + 1) * BATCH
    paths = {name: backlogs.make(folder / f"{name}.db", size) for name in ("bare", "take", "claim")}
    bare, taking, claiming = (
        BareClaims(paths["bare"]),
        *(backlogs.opened(paths[it]) for it in ("take", "claim")),
    )
    kinds: dict[str, Callable[[str], object]] = {
        "bare": bare.claim,
        "take": partial(_claim, taking, claim_row),
        "claim": partial(_claim, claiming, claim),
    }
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    for batch in range(batches + 1):
        for kind, make in kinds.items():
            rates[kind].append(_rate(make, batch))
    bare.close()
    taking.close(5)
    claiming.close(5)
    for samples in rates.values():
        del samples[0]  # it prepared the statements
    yield Figure("claims by write_now, FULL", rates["take"], rates["bare"], "/s", RATE_BOUND)
    yield Figure("claims with hand-over by write_now, FULL", rates["claim"], rates["bare"], "/s")


def _claim(database: Database, verb: Callable[[Transaction, Holder], object], name: str) -> object:
    return database.write_now(lambda tx: verb(tx, backlogs.holder(name)))


def _rate(make: Callable[[str], object], batch: int) -> float:
    """Return claims per second, each under its own name, because a name may hold only one claim."""
    began = time.perf_counter()
    for number in range(BATCH):
        assert make(f"agent {batch}.{number}") is not None, "the backlog is long enough"
    return BATCH / (time.perf_counter() - began)


class Span(NamedTuple):
    """One process in one round: the times of its claims, and the mean time for which a claim held the queue."""

    started: float
    ended: float
    held: float


def _many_processes(folder: Path, rounds: int) -> Iterator[Figure]:
    """Run rounds in which the first process alone makes as many claims as all processes then make in total.

    Bare `sqlite3` in the same writer queue shows what a queue of processes costs without any code of Dibs.
    """
    for name, work, bound in (
        ("claims by write_now, FULL", _by_verb, PROCESSES_BOUND),
        ("the same by bare sqlite3 in the same writer queue", _by_bare_driver, None),
    ):
        claims = EACH * PROCESSES
        size = 2 * (rounds + 1) * claims + PROCESSES
        path = backlogs.make_large(folder / f"{work.__name__}.db", size)
        spans = run_together(work, [(path, rounds)] * PROCESSES)
        alone = spans[0][::2]
        together = [[of_one[place] for of_one in spans] for place in range(1, 2 * rounds, 2)]
        rates = [claims / _length(round_) for round_ in together], [claims / _length([one]) for one in alone]
        yield Figure(f"{name}, {PROCESSES} processes against one", *rates, "/s", bound)
        held = [fmean(one.held for one in round_) for round_ in together], [one.held for one in alone]
        yield Figure(f"{name}, time the writer queue is held, the same", *held, "us")


def _length(spans: list[Span]) -> float:
    return max(one.ended for one in spans) - min(one.started for one in spans)


def _by_verb(number: int, barrier: Barrier, path: Path, rounds: int) -> list[Span]:
    database = backlogs.opened(path)

    def make(name: str) -> None:
        assert _claim(database, claim_row, name) is not None, "the backlog is long enough"

    spans = _spans(make, number, barrier, rounds)
    database.close(5)
    return spans


def _by_bare_driver(number: int, barrier: Barrier, path: Path, rounds: int) -> list[Span]:
    bare, queue = BareClaims(path), WriterQueue(Path(f"{path}.lock"))

    def make(name: str) -> None:
        queue.enter()
        bare.claim(name)
        queue.leave()

    spans = _spans(make, number, barrier, rounds)
    bare.close()
    return spans


def _spans(make: Callable[[str], None], number: int, barrier: Barrier, rounds: int) -> list[Span]:
    """Return two spans for each round: alone, if this process is the first, and with the others."""
    names = (f"agent {number}.{each}" for each in count())
    make(next(names))  # it prepares the statements
    spans: list[Span] = []
    with queue_held() as held:
        for _ in range(rounds):
            for claims in (EACH * PROCESSES if number == 0 else 0, EACH):
                held.clear()
                barrier.wait()
                started = time.monotonic()  # the same clock in every process
                for _ in range(claims):
                    make(next(names))
                spans.append(Span(started, time.monotonic(), fmean(held or [0.0])))
    return spans
