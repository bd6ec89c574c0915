"""The write-ahead log: kept short, also beside reads that follow each other without a gap."""

from __future__ import annotations

import time
from contextlib import suppress
from types import ModuleType
from typing import Any

from dibs.database.sqlite.inodes import size_at

LIMIT = 8 * 1024 * 1024
"""Bytes; what a log that was begun anew is cut to."""
OUTGROWN = LIMIT + LIMIT // 8
LOOK_EVERY = 4
"""Transactions of this process between two looks at the log's size."""
FAR_OUTGROWN = LIMIT + LIMIT * 3 // 4
WAIT, LONGER_WAIT = 100, 300
"""Milliseconds that one try waits for reads to end, with all writers behind the door; the longer for a log beyond that."""
PAUSE, LONGEST_PAUSE = 1.0, 32.0
"""Seconds of this process between two tries; doubled after each that found readers who stay."""


class Log:
    """The log of one database file, as the process that writes sees it behind the door.

    SQLite begins its log anew when all of it is in the database and nobody reads from it any more. A passive
    checkpoint never waits for that moment: a single reader that searches without a pause let the log grow by
    10 MiB a second. So whoever finds it too long waits for the reads under way; those that come later read
    the database alone, and are not waited for.
    Source: https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files, SQLITE_CHECKPOINT_RESTART.
    """

    def __init__(self, path: bytes, driver: ModuleType, busy_timeout: int) -> None:
        self._path = path
        self._driver = driver
        self._busy_timeout = busy_timeout
        self._until_look = LOOK_EVERY
        self._not_before = 0.0
        self._pause = PAUSE

    def keep_short(self, connection: Any) -> None:
        """Begin the log anew, if it has outgrown its limit and its readers end in time.

        To be called behind the door and outside any transaction. What was committed stays so: errors are left
        to the next transaction, which meets them itself.
        """
        self._until_look -= 1
        if self._until_look:
            return
        self._until_look = LOOK_EVERY
        if time.monotonic() < self._not_before:
            return
        with suppress(self._driver.Error, OSError):
            size = size_at(self._path)
            if size > OUTGROWN:
                self._begin_anew(connection, LONGER_WAIT if size > FAR_OUTGROWN else WAIT)

    def _begin_anew(self, connection: Any, wait: int) -> None:
        self._not_before = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        connection.execute(f"PRAGMA busy_timeout = {wait}")
        try:
            ((given_up, _, _),) = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        finally:
            connection.execute(f"PRAGMA busy_timeout = {self._busy_timeout}")
        if not given_up:
            self._pause = PAUSE
