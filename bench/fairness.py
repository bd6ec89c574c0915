"""How evenly writers that never pause share the writer queue, and how long reads affect them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread

from bench import backlogs
from bench.figures import Figure, Measured, Promise
from bench.processes import Barrier, queue_held, run_together
from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.queries.audit import audit
from dibs.queries.search import search
from dibs.verbs.claim import claim
from dibs.verbs.create import create
from dibs.verbs.outcome import mark_passing
from dibs_schema.answers import Claimed
from dibs_schema.inputs import NewFeature

TURNS_BOUND = 5.0
JAIN_BOUND = 0.95
HELD_UP_BOUND = 1.0
LOG_LIMIT = 20e6 / (1 << 20)
"""MiB (20 MB) that the write-ahead log may grow to during searches."""
LOG_BOUND = 1.0
LOCK_BOUND = 0.01

WRITERS = 32
FEWER = 7
"""Writers during the long reads."""
Read = Callable[[Transaction], object]

SEARCHES: tuple[Read, ...] = (partial(search, text="no such words"),) * 2
"""The longest reads of any tool: each must scan every feature."""
AUDITS: tuple[Read, ...] = (audit,)
"""The longest read of all, that of `dibs doctor`; for information."""
LONG_TEXT = "x" * 20_000


@dataclass(frozen=True, slots=True)
class Effort:
    """For how many seconds the processes write, and the number of features."""

    seconds: float
    features: int


FULL = Effort(seconds=20, features=100_000)
QUICK = Effort(seconds=4, features=20_000)


def measure(folder: Path, effort: Effort) -> Iterator[Measured]:
    """Measure writers alone, writers during long reads, and writers of long descriptions."""
    path = backlogs.make_large(folder / "writers.db", effort.features)
    yield from _turns(run_together(write_for, [(path, effort.seconds)] * WRITERS), effort.seconds)
    path = backlogs.make_large(folder / "searched.db", effort.features)
    yield from _during_reads(path, effort.seconds, "searches", SEARCHES, HELD_UP_BOUND, LOG_BOUND)
    path = backlogs.make_large(folder / "audited.db", effort.features)
    yield from _during_reads(path, effort.seconds, "audits", AUDITS)
    path = backlogs.make(folder / "long.db", 0)
    held = run_together(_write_long_texts, [(path, effort.seconds / 2)] * FEWER)
    every = [seconds for times in held for seconds in times]
    yield Promise(f"lock held, {FEWER} writers of texts of {len(LONG_TEXT):,} characters", every, LOCK_BOUND)


def jain(counts: list[int]) -> float:
    """Jain's index of fairness: 1 if all got the same, 1/n if one got everything."""
    return sum(counts) ** 2 / (len(counts) * sum(count**2 for count in counts))


def _turns(waits: list[list[float]], seconds: float) -> Iterator[Measured]:
    counts = [len(times) for times in waits]
    every = [wait for times in waits for wait in times]
    turns = len(waits) * seconds / sum(counts)
    who = f"{len(waits)} saturating writers"
    yield Promise(f"a write among {who}", every)
    yield Figure(f"longest wait of {who}, in rounds of a mean commit each", [max(every)], [turns], "ms", TURNS_BOUND)
    yield Figure(f"writes of {who}, Jain's index", [jain(counts)], [1.0], "of 1", JAIN_BOUND)


def _during_reads(
    path: Path,
    seconds: float,
    what: str,
    reads: tuple[Read, ...],
    held_up: float | None = None,
    log: float | None = None,
) -> Iterator[Measured]:
    reading = [(path, seconds, read) for read in reads]
    with _watched(Path(f"{path}-wal")) as sizes:
        found = run_together(_read_or_write, [(path, seconds, None)] * FEWER + reading)
    writes = [wait for times in found[:FEWER] for wait in times]
    took = [one for times in found[FEWER:] for one in times]
    yield Promise(f"one of the {what} without a pause, against {FEWER} writers", took)
    yield Promise(f"a write of {FEWER} writers during {what}", writes, held_up, every=True)
    yield Figure(
        f"write-ahead log during {what}, against {LOG_LIMIT:.3g} MiB",
        [max(sizes)],
        [LOG_LIMIT * 1024],
        "MiB",
        log,
    )


class _watched:  # noqa: N801 - a context, as a function would be
    """Samples the size of a file in KiB, twenty times per second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._over = Event()
        self._sizes: list[float] = [0.0]
        self._watcher = Thread(target=self._watch)

    def __enter__(self) -> list[float]:
        self._watcher.start()
        return self._sizes

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            if self._path.exists():
                self._sizes.append(self._path.stat().st_size / 1024)


def _read_or_write(number: int, barrier: Barrier, path: Path, seconds: float, read: Read | None) -> list[float]:
    if read is None:
        return write_for(number, barrier, path, seconds)
    database = backlogs.opened(path)
    database.read_now(read)
    barrier.wait()
    took = _repeat(seconds, lambda: database.read_now(read))
    database.close(5)
    return took


def write_for(number: int, barrier: Barrier, path: Path, seconds: float) -> list[float]:
    """Claim and pass without a pause; return how long each write took, in seconds."""
    database = backlogs.opened(path)
    one = Writer(database, f"agent {number}")
    for _ in range(10):
        one.write()
    barrier.wait()
    took = _repeat(seconds, one.write)
    database.close(5)
    return took


class Writer:
    """One agent that claims and passes in turn."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._holder = backlogs.holder(name)
        self._held: Claimed | None = None

    def write(self) -> None:
        """Claim the next feature, or pass the claimed one."""
        held = self._held
        if held is None:
            claimed = self._database.write_now(lambda tx: claim(tx, self._holder))
            assert isinstance(claimed, Claimed), "the backlog is long enough"
            self._held = claimed
            return
        self._database.write_now(lambda tx: mark_passing(tx, self._holder.name, held.feature.id, held.claim.token))
        self._held = None


def _write_long_texts(number: int, barrier: Barrier, path: Path, seconds: float) -> list[float]:
    """Create, claim and pass features with the longest description; return for how many seconds each held the lock."""
    database = backlogs.opened(path)
    feature = NewFeature(category="long", name="A long one", description=LONG_TEXT, steps=["Do it"])
    one = Writer(database, f"agent {number}")

    def work() -> None:
        database.write_now(lambda tx: create(tx, "planner", feature))
        one.write()
        one.write()

    work()
    barrier.wait()
    with queue_held() as held:
        _repeat(seconds, work)
    database.close(5)
    return held


def _repeat(seconds: float, act: Callable[[], object]) -> list[float]:
    """Repeat `act` for the given time, and return how long each call took, in seconds."""
    took = []
    began = now = time.perf_counter()
    while now < began + seconds:
        act()
        before, now = now, time.perf_counter()
        took.append(now - before)
    return took
