"""Reader threads see commits of other processes, and end cleanly."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from dibs.database import Database, open_database
from dibs.database.postgres.session import LOOK_ANYWAY
from dibs.settings import Settings
from races.backlog import eventually, fill, row, rule


@pytest.mark.only_on("sqlite", reason="a server tells of the commits that may have made work ready")
@pytest.mark.parametrize("looks_between", [0, 1, 2, 3])
def test_the_version_changes_with_every_commit_of_another_process(
    db: str, database: Database, looks_between: int
) -> None:
    """A poll for commits sees each of them, however many other reads this process makes."""
    fill(database, 1)
    with a_follower(db) as follower:
        missed = 0
        for _ in range(40):
            before = asyncio.run(follower.work_version())
            rule(database, "back_off", 30)  # a commit
            for _ in range(looks_between):
                row(follower, 1)
            missed += asyncio.run(follower.work_version()) == before
        assert missed == 0


@pytest.mark.parametrize("looks_between", [0, 3])
def test_the_version_changes_whenever_another_process_makes_work_ready(
    db: str, database: Database, looks_between: int
) -> None:
    """A waiting claim sees all new work, soon after it was committed."""
    fill(database, 1)
    with a_follower(db) as follower:
        for _ in range(20):
            before = asyncio.run(follower.work_version())
            fill(database, 1)
            for _ in range(looks_between):
                row(follower, 1)
            eventually(lambda: asyncio.run(follower.work_version()) != before, within=1)  # noqa: B023 - used at once


@pytest.mark.only_on("postgresql", reason="a file tells of every commit")
def test_the_version_stays_when_a_commit_makes_nothing_ready(db: str, database: Database) -> None:
    """Unrelated commits do not wake a waiting claim, apart from rare polls."""
    fill(database, 1)
    with a_follower(db) as follower:
        began, before = time.monotonic(), asyncio.run(follower.work_version())
        for _ in range(20):
            rule(database, "max_claims", 3)
        time.sleep(0.2)  # a notification would be here by now
        looks_anyway = (time.monotonic() - began) // LOOK_ANYWAY + 1
        assert asyncio.run(follower.work_version()) - before <= looks_anyway


@contextmanager
def a_follower(db: str) -> Iterator[Database]:
    """Open the database again, with a connection for each reader thread."""
    follower = open_database(Settings(db=db))
    try:
        use_every_reader(follower)
        yield follower
    finally:
        follower.close(patience=5)


def use_every_reader(database: Database) -> None:
    """Run reads at the same time, so that every reader thread has its connection."""
    meeting = threading.Barrier(2)

    def meet(_: object) -> None:
        with suppress(threading.BrokenBarrierError):  # there is only one reader
            meeting.wait(1)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: database.read_now(meet), range(2)))


def test_closing_right_after_a_read_breaks_no_thread(db: str, database: Database) -> None:
    """A reader has finished with its connection when its answer is given, or closing waits for it."""
    fill(database, 1)
    with unbroken_threads():
        for _ in range(60):
            one = open_database(Settings(db=db))
            row(one, 1)
            one.close(patience=5)


def test_closing_under_running_reads_breaks_no_thread(db: str, database: Database) -> None:
    """Reads that run when the database is closed end with an answer or a refusal."""
    fill(database, 1)
    with unbroken_threads():
        for _ in range(20):
            _close_under_reads(open_database(Settings(db=db)))


def _close_under_reads(database: Database) -> None:
    row(database, 1)
    started = threading.Barrier(3)

    def read_on() -> None:
        started.wait(10)
        for _ in range(20):
            row(database, 1)

    with ThreadPoolExecutor(2) as pool:
        reads = [pool.submit(read_on) for _ in range(2)]
        started.wait(10)
        database.close(patience=5)
        for read in reads:
            read.exception(timeout=10)  # it ended, and no more is required


@contextmanager
def unbroken_threads() -> Iterator[None]:
    """Assert that no thread ends by an exception during the block."""
    broken: list[threading.ExceptHookArgs] = []
    before, threading.excepthook = threading.excepthook, broken.append
    try:
        yield
    finally:
        threading.excepthook = before
    assert [args.exc_value for args in broken] == []
