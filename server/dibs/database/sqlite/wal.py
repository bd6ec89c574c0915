"""The write-ahead log: kept short, also beside reads that follow each other without a gap."""

from __future__ import annotations

import time
from contextlib import suppress
from types import ModuleType
from typing import Any

from dibs.database.sqlite.file_identity import size_at
from dibs.database.sqlite.writer_queue import Door

LIMIT = 6 * 1024 * 1024
"""Bytes; what a log that was begun anew is cut to."""
OUTGROWN = LIMIT + LIMIT // 8
LOOK_EVERY = 4
"""Transactions of this process between two looks at the log's size."""
WAIT = 0.4
"""Seconds that one try waits for reads to end, with all writers behind the door."""
POLL = 0.005
"""Seconds between two looks whether they have; SQLite's own waiting sleeps for up to 100 ms."""
PAUSE, LONGEST_PAUSE = 0.5, 32.0
"""Seconds after any process's try in which this one does not; doubled where its own found readers who stay."""


class Log:
    """The log of one database file, as the process that writes sees it behind the door.

    SQLite begins its log anew when all of it is in the database and nobody reads from it any more. A passive
    checkpoint never waits for that moment: a single reader that searches without a pause let the log grow by
    10 MiB a second. So whoever finds it too long waits for the reads under way; those that come later read
    the database alone, and are not waited for.
    Source: https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files, SQLITE_CHECKPOINT_RESTART.
    """

    def __init__(self, path: bytes, door: Door, driver: ModuleType, busy_timeout: int) -> None:
        self._path = path
        self._door = door
        self._driver = driver
        self._busy_timeout = busy_timeout
        self._until_look = LOOK_EVERY
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
        with suppress(self._driver.Error, OSError):
            if size_at(self._path) <= OUTGROWN:
                self._pause = PAUSE
            elif not 0 <= time.time() - self._door.marked_at() < self._pause:
                self._begin_anew(connection)

    def _begin_anew(self, connection: Any) -> None:
        until = time.monotonic() + WAIT
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            while _is_held_up(connection) and time.monotonic() < until:
                time.sleep(POLL)
        finally:
            connection.execute(f"PRAGMA busy_timeout = {self._busy_timeout}")
            self._door.mark()
        self._pause = min(2 * self._pause, LONGEST_PAUSE)  # if it has helped, the next look sees it


def _is_held_up(connection: Any) -> bool:
    ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    return bool(busy)
