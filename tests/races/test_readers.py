"""Threads that read: what they see of other processes, and how they end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from dibs.database import Database, open_database
from dibs.settings import Settings
from races.backlog import fill, row, rule


@pytest.mark.parametrize("looks_between", [0, 1, 2, 3])
def test_the_version_changes_with_every_commit_of_another_process(
    db: str, database: Database, looks_between: int
) -> None:
    """Whoever polls for commits sees each of them, however many other reads this process makes meanwhile."""
    fill(database, 1)
    follower = open_database(Settings(db=db))
    try:
        use_every_reader(follower)
        missed = 0
        for _ in range(40):
            before = asyncio.run(follower.version())
            rule(database, "back_off", 30)  # a commit
            for _ in range(looks_between):
                row(follower, 1)
            missed += asyncio.run(follower.version()) == before
        assert missed == 0
    finally:
        follower.close(patience=5)


def use_every_reader(database: Database) -> None:
    """Have reads run at the same time, so that every thread for reading has its connection."""
    meeting = threading.Barrier(2)

    def meet(_: object) -> None:
        with suppress(threading.BrokenBarrierError):  # there is one reader alone
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
    """Reads that are under way when the database is closed end, in an answer or in a refusal."""
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
            read.exception(timeout=10)  # it ended, and that is all that is asked


@contextmanager
def unbroken_threads() -> Iterator[None]:
    """No thread ends by an exception meanwhile."""
    broken: list[threading.ExceptHookArgs] = []
    before, threading.excepthook = threading.excepthook, broken.append
    try:
        yield
    finally:
        threading.excepthook = before
    assert [args.exc_value for args in broken] == []
