"""A program that locks every writer out: `python -m dibs_proof.storm.foreign_locker DB SECONDS`.

It stands for any program that uses the database without Dibs, and so without the writer queue. It prints since when
and until when it held the lock, in seconds of the monotonic clock, and nothing where it did not get the lock.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing, suppress
from typing import Any


def hold(db: str, seconds: float) -> None:
    """Hold the lock for so many seconds; does nothing where another holds it, or wins a deadlock."""
    driver, connection, lock = _connected(db)
    with closing(connection), suppress(driver.Error):
        for statement in lock:
            connection.execute(statement)
        _print(time.monotonic())
        time.sleep(seconds)
        connection.execute("ROLLBACK")
        _print(time.monotonic())


def _connected(db: str) -> tuple[Any, Any, tuple[str, ...]]:
    """Connect as any program does; returns the driver, a connection in autocommit, and what takes the lock."""
    if "://" in db:
        import psycopg

        lock = ("BEGIN", "LOCK TABLE projects, features IN EXCLUSIVE MODE")
        return psycopg, psycopg.connect(db, autocommit=True), lock
    from dibs.database import file_driver

    driver = file_driver()
    return driver, driver.connect(db, isolation_level=None), ("BEGIN IMMEDIATE",)


def _print(now: float) -> None:
    sys.stdout.write(f"{now}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    hold(sys.argv[1], float(sys.argv[2]))
