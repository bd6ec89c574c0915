"""Very large backlogs: the cost of a claim, a pass, a batch and a search in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import backlogs
from bench.driver import Server, dibs
from bench.figures import Figure, Measured, Promise
from bench.processes import queue_held
from dibs.database import Database, file_driver
from dibs.database.sqlite.engine import SPILL
from dibs.queries.overview import get_overview
from dibs.queries.search import search
from dibs.verbs.batch import check_batch
from dibs.verbs.claim import claim
from dibs.verbs.create import create_batch, create_bulk
from dibs.verbs.outcome import mark_passing
from dibs_schema.answers import Claimed
from dibs_schema.inputs import NewFeature

CLAIM_BOUND = 2.0
FILES_BOUND = 4.0
UNBLOCK_BOUND = 0.05
BATCH_BOUND = 0.3
BATCH_LOCK_BOUND = 0.06
SEARCH_BOUND = 0.1
OVERVIEW_BOUND = 0.01

SMALL = 1_000
WARM_UP = 5
DEPENDENTS = 1_000
HELD_BACK = 1_000
"""Features before the first claimable feature, each on files of a live claim."""
LIVE = (1, 10, 100)
"""The numbers of live claims on files."""
BATCH = 1_000
DEPENDENCIES = 3
LONGEST = 20_000
"""The characters of the longest description: a batch of 20 MB."""


@dataclass(frozen=True, slots=True)
class Effort:
    """The sizes to compare with the small backlog, and how often each verb runs."""

    sizes: tuple[int, ...]
    blocked: int
    searched: int
    claims: int
    runs: int


FULL = Effort(sizes=(10_000, 100_000, 1_000_000), blocked=100_000, searched=100_000, claims=90, runs=20)
QUICK = Effort(sizes=(100_000,), blocked=20_000, searched=100_000, claims=50, runs=5)


def measure(folder: Path, effort: Effort) -> Iterator[Measured]:
    """Make each backlog, measure, and remove it."""
    yield from _claims(folder, effort)
    yield from _claims_behind_files(folder, effort)
    yield from _unblocking(folder / "hubs.db", effort.runs)
    yield from _batches(folder / "batches.db", effort.runs)
    yield from _searches(
        backlogs.make_large(folder / "search.db", effort.searched, passing=effort.searched // 2), effort.runs
    )
    yield _overview(folder / "overview.db", effort)


def name_of(size: int) -> str:
    """Return the name of the figure that compares a claim in a backlog of `size` features with one in the small backlog."""
    return f"claim, {size:,} features of which 99 % pass, against {SMALL:,}"


def _claims(folder: Path, effort: Effort) -> Iterator[Figure]:
    # Unsynced: the disk takes the same time for all, and would hide the rest.
    small = backlogs.opened(backlogs.make_large(folder / "small.db", SMALL), "NORMAL")
    larger = {name_of(size): (size, size * 99 // 100, 0) for size in effort.sizes}
    ahead = f"claim, {effort.blocked:,} blocked features ahead, against none"
    larger[ahead] = (effort.blocked + SMALL, 0, effort.blocked)
    for number, (name, (size, passing, blocked)) in enumerate(larger.items()):
        path = backlogs.make_large(folder / f"large{number}.db", size, passing=passing, blocked=blocked)
        yield Figure(name, *_in_turn(path, small, effort.claims), "us", CLAIM_BOUND)
        path.unlink()
    small.close(5)


def _claims_behind_files(folder: Path, effort: Effort) -> Iterator[Figure]:
    small = backlogs.opened(backlogs.make_large(folder / "no files.db", SMALL), "NORMAL")
    for live in LIVE:
        path = folder / f"files of {live}.db"
        database = backlogs.opened(path, "NORMAL")
        add = partial(_add, database)
        add(live, lambda number: [f"src/{number}/**"])
        for number in range(live):
            _claim(database, f"holder {number}")
        add(HELD_BACK, lambda number, live=live: [f"src/{number % live}/{number}.py"])  # type: ignore[misc]
        add(effort.claims + WARM_UP, lambda _: [])
        database.close(5)
        name = f"claim, {HELD_BACK:,} features ahead on files of {live} live claim{'s' * (live > 1)}, against none"
        yield Figure(name, *_in_turn(path, small, effort.claims), "us", FILES_BOUND)
        path.unlink()
    small.close(5)


def _add(database: Database, count: int, paths: Callable[[int], list[str]]) -> None:
    batch = [backlogs.feature(number, paths=paths(number)) for number in range(count)]
    database.write_now(partial(create_bulk, by="planner", entries=batch))


def _in_turn(path: Path, small: Database, claims: int) -> tuple[list[float], list[float]]:
    """Alternate claims in the large backlog and in the small one; return how long each took, in seconds."""
    large = backlogs.opened(path, "NORMAL")
    took: dict[Database, list[float]] = {large: [], small: []}
    for run in range(-WARM_UP, claims):
        for database, samples in took.items():
            seconds = _claim(database, f"{path.stem} {run}")
            if run >= 0:
                samples.append(seconds)
    large.close(5)
    return took[large], took[small]


def _claim(database: Database, agent: str) -> float:
    """Return how long a claim of the next feature takes, in seconds, with the whole hand-over."""
    holder = backlogs.holder(agent)
    began = time.perf_counter()
    claimed = database.write_now(lambda tx: claim(tx, holder))
    seconds = time.perf_counter() - began
    assert isinstance(claimed, Claimed), "the backlog is long enough"
    return seconds


def _unblocking(path: Path, runs: int) -> Iterator[Promise]:
    database = backlogs.opened(backlogs.make_large(path, runs, dependents=DEPENDENTS))
    took = []
    for run in range(runs):
        holder = backlogs.holder(f"agent {run}")
        claimed = database.write_now(lambda tx, holder=holder: claim(tx, holder, run + 1))  # type: ignore[misc]  # noqa: B023 - used at once
        assert isinstance(claimed, Claimed), "it is ready"
        passing = partial(mark_passing, by=holder.name, feature=run + 1, token=claimed.claim.token)
        began = time.perf_counter()
        answer = database.write_now(passing)
        took.append(time.perf_counter() - began)
        assert answer.unblocked_count == DEPENDENTS, "they depend on nothing else"
    database.close(5)
    yield Promise(f"a pass that unblocks {DEPENDENTS:,} dependents", took, UNBLOCK_BOUND)


def _batches(path: Path, runs: int) -> Iterator[Measured]:
    """Create the same batches over stdio, and by the verb, to measure how long it holds the lock."""
    with Server(dibs(path)) as server:
        server.initialize()
        server.call("feature_get_stats", {})
        took = [
            server.call("feature_create_bulk", {"features": _batch(), "allow_duplicates": True}).seconds
            for _ in range(runs)
        ]
    yield Promise(f"feature_create_bulk, {BATCH:,} features with {DEPENDENCIES} dependencies each", took, BATCH_BOUND)
    database = backlogs.opened(path)
    database.write_now(lambda _: None)
    yield Promise("the same, lock held", _locked(database, _batch(), runs), BATCH_LOCK_BOUND)
    longest = [one | {"description": "x" * LONGEST} for one in _batch()]
    name = f"the same with descriptions of {LONGEST:,} characters, lock held"
    held: list[float] = []
    bare: list[float] = []
    with _bare_table(path.with_name("bare.db")) as insert:
        for _ in range(runs):
            held += _locked(database, longest, 1)
            bare.append(_seconds(lambda: insert([one["description"] for one in longest])))
    yield Promise(name, held, BATCH_LOCK_BOUND)
    yield Figure(f"{name}, against bare SQLite that inserts these descriptions", held, bare, "us")
    database.close(5)


@contextmanager
def _bare_table(path: Path) -> Iterator[Callable[[list[str]], None]]:
    """Make a table of texts without an index; yield a function that inserts texts in one transaction, as durably."""
    with closing(file_driver().connect(path, isolation_level=None)) as connection:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", f"cache_spill = {SPILL}"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT)")

        def insert(texts: list[str]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO texts (text) VALUES (?)", [(one,) for one in texts])
            connection.execute("COMMIT")

        yield insert


def _locked(database: Database, batch: list[dict[str, Any]], runs: int) -> list[float]:
    """Return for how many seconds each creation of a batch holds the lock. What a server prepares before is prepared."""
    entries = [NewFeature(**one) for one in batch]
    held: list[float] = []
    for _ in range(runs):
        create = partial(create_batch, by="planner", batch=check_batch(entries))
        with queue_held() as times:
            database.write_now(create)
        held += times
    return held


def _batch() -> list[dict[str, Any]]:
    return [
        {
            "category": f"area {number % 12}",
            "name": f"Feature {number} does one thing that users asked for",
            "description": backlogs.DESCRIPTION * 6,
            "steps": backlogs.STEPS,
            "depends_on_indices": list(range(max(0, number - DEPENDENCIES), number)),
        }
        for number in range(BATCH)
    ]


def _searches(path: Path, runs: int) -> Iterator[Promise]:
    database = backlogs.opened(path)
    for what, wanted in {
        "text that 1 in 1,000 has": {"text": "REF-0999"},
        "text that all have": {"text": "users asked"},
        "text that none has": {"text": "no such words"},
        "text among pending ones": {"text": "users asked", "status": "pending"},
    }.items():
        took = [_seconds(lambda: database.read_now(partial(search, **wanted))) for _ in range(runs + 1)]  # type: ignore[arg-type]  # noqa: B023 - used at once
        yield Promise(f"search of 100,000 features, {what}", took[1:], SEARCH_BOUND)
    database.close(5)


def _overview(path: Path, effort: Effort) -> Promise:
    """Read the overview of a backlog of which half passes, a fifth waits, and the rest is ready or claimed."""
    size = effort.searched
    database = backlogs.opened(backlogs.make_large(path, size, passing=size // 2, blocked=size // 5), "NORMAL")
    for number in range(LIVE[-1]):
        _claim(database, f"holder {number}")
    took = [_seconds(lambda: database.read_now(partial(get_overview, database=""))) for _ in range(effort.runs + 1)]
    database.close(5)
    return Promise(f"overview of {size:,} features with {LIVE[-1]} live claims", took[1:], OVERVIEW_BOUND)


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
