"""Many writers and long reads at the same time: every writer gets its turn, and the log stays bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from bench import backlogs
from bench.fairness import jain, write_for
from bench.processes import run_together

from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs.verbs.create import create
from dibs_schema.inputs import NewFeature
from races.backlog import eventually, times

pytestmark = pytest.mark.only_on("sqlite", reason="a server lets writers work at the same time, and keeps its own log")

MIB = 1024 * 1024
LONG = NewFeature(category="long", name="A long one", description="x" * 20_000, steps=["y" * 2_000] * 20)
"""A feature that takes about 64 KiB in the log."""


@pytest.mark.timing
def test_every_saturating_writer_gets_its_turn(db: str) -> None:
    """Processes that write without a pause write about equally often, and none waits for many rounds."""
    writers, seconds = times(6, 32), times(2, 10)
    backlog = backlogs.make_large(Path(db), times(5_000, 50_000))
    waits = run_together(write_for, [(backlog, float(seconds))] * writers)
    counts = [len(took) for took in waits]
    assert jain(counts) > 0.8  # 0.99 on an idle machine
    mean = writers * seconds / sum(counts)  # a round in which each writer has its turn
    assert max(wait for took in waits for wait in took) < max(20 * mean, 0.5)


def test_reads_without_a_gap_do_not_let_the_log_grow_for_ever(db: str, database: Database) -> None:
    """Although there is a reader at every moment, the log restarts after it has outgrown its limit."""
    log = Path(f"{db}-wal")

    def write() -> None:
        database.write_now(lambda tx: create(tx, "test", LONG))

    def is_short() -> bool:
        write()
        return log.stat().st_size < 10 * MIB

    with readers_without_a_gap(db):
        for _ in range(times(200, 2_000)):  # at least 18 MiB, which would all be in the log
            write()
        eventually(is_short, within=30)


@pytest.mark.timing
def test_a_read_that_does_not_end_holds_no_writer_up(db: str, database: Database) -> None:
    """During one long snapshot the log grows, and each write still takes less than a second."""
    longest = 0.0
    with a_snapshot(db):
        for _ in range(250):
            began = time.monotonic()
            database.write_now(lambda tx: create(tx, "test", LONG))
            longest = max(longest, time.monotonic() - began)
    assert Path(f"{db}-wal").stat().st_size > 10 * MIB
    assert longest < 1


@contextmanager
def readers_without_a_gap(db: str) -> Iterator[None]:
    """Let four readers take turns, so that there is always a snapshot, but none older than a few hundredths of a second."""
    over = threading.Event()
    with ExitStack() as readers:
        for seconds in (0.010, 0.012, 0.015, 0.017):
            readers.enter_context(reading(db, partial(time.sleep, seconds), over))
        yield


@contextmanager
def a_snapshot(db: str) -> Iterator[None]:
    """Hold one snapshot during the block."""
    over = threading.Event()
    with reading(db, lambda: over.wait(60), over):
        yield


@contextmanager
def reading(db: str, dwell: Callable[[], object], over: threading.Event) -> Iterator[None]:
    """Take one snapshot after another, and hold each for as long as `dwell` takes."""
    other = open_database(Settings(db=db))
    held = threading.Event()

    def stay(tx: object) -> None:
        held.set()
        dwell()

    def read_on() -> None:
        while not over.is_set():
            other.read_now(stay)

    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        assert held.wait(10)
        yield
    finally:
        over.set()
        reader.join(10)
        other.close(5)
