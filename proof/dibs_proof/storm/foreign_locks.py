"""Foreign programs that hold the database's lock during a storm, each in its own process.

`python -m dibs_proof.storm.foreign_locks DB SECONDS` is such a program. It blocks every writer. It uses the database
without Dibs, and so without the writer queue. It prints the times at which it got and released the lock, in seconds of
the monotonic clock, or nothing if it did not get the lock.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:  # the program itself starts faster without them
    from dibs_proof.history.dependencies import Span
    from dibs_proof.storm.plan import Plan

LONGEST_HOLD = 1.5
"""The longest time in seconds for which a foreign program blocks every writer."""
LEAVING = 0.1
"""Seconds that the program may need to release the lock."""


class ForeignLocks:
    """Programs without Dibs that hold the lock that every writer needs; `held` has the spans in which they held it."""

    def __init__(self, plan: Plan, log: Path) -> None:
        self._plan = plan
        self._log = log / "foreign-locks.log"
        self._chance = plan.chance("strangers")
        self.held: list[Span] = []

    async def run(self, until: anyio.Event) -> None:
        """Hold the lock at random times, each time in a new process, until the storm is over."""
        with self._log.open("wb") as log:
            while not until.is_set():
                await anyio.sleep(self._chance.uniform(0.5, 4))
                await self._hold(log)

    async def _hold(self, log: IO[bytes]) -> None:
        seconds = self._chance.uniform(0.05, LONGEST_HOLD)
        done = await anyio.run_process(lock_command(self._plan.db, seconds), stderr=log, check=False)
        ended, times = time.monotonic(), done.stdout.split()
        if times:  # otherwise another program had the lock
            self.held.append((float(times[0]), float(times[1]) + LEAVING if len(times) > 1 else ended))


def lock_command(db: str, seconds: float) -> list[str]:
    """Return the command of a program that holds the lock for `seconds`."""
    return [sys.executable, "-m", "dibs_proof.storm.foreign_locks", db, f"{seconds:.2f}"]


def hold_lock(db: str, seconds: float) -> None:
    """Hold the lock for `seconds`. Do nothing if another program holds it, or wins a deadlock."""
    driver, connection, lock = _connected(db)
    with closing(connection), suppress(driver.Error):
        for statement in lock:
            connection.execute(statement)
        _print(time.monotonic())
        time.sleep(seconds)
        connection.execute("ROLLBACK")
        _print(time.monotonic())


def _connected(db: str) -> tuple[Any, Any, tuple[str, ...]]:
    """Connect as any program does, and return the driver, a connection, and the statements that take the lock."""
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
    hold_lock(sys.argv[1], float(sys.argv[2]))
