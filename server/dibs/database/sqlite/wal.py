"""Keep the write-ahead log short, even during reads without a pause."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

from dibs.database.sqlite.writer_queue import WriterQueue
from dibs.platform.file_identity import size_at

LIMIT = 6 * 1024 * 1024
"""Bytes to which a log is truncated when it restarts."""
CHECK_EVERY = 4
"""Transactions of this process between two checks of the log's size."""
WAIT = 0.4
"""Seconds that one attempt waits for reads to end; all writers wait in the queue during that time."""
POLL = 0.005
"""Seconds between two attempts to checkpoint; SQLite's own busy handler sleeps for up to 100 ms."""
PAUSE, LONGEST_PAUSE = 0.5, 32.0
"""Seconds between the attempts of all processes; doubled after each failed attempt of this process."""


class WriteAheadLog:
    """The log of one database file, as a writer at the head of the queue uses it.

    SQLite restarts its log when all of it is in the database and nobody reads from it. A passive checkpoint never
    waits for that moment: a single reader that searched without a pause let the log grow by 10 MiB a second. So a
    writer that finds the log too long waits for the current reads. Later reads use only the database file, and the
    writer does not wait for them.
    Source: https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files, SQLITE_CHECKPOINT_RESTART.
    """

    def __init__(self, path: bytes, queue: WriterQueue, driver: ModuleType, busy_timeout: int) -> None:
        self._path = path
        self._queue = queue
        self._driver = driver
        self._busy_timeout = busy_timeout
        self._until_check = CHECK_EVERY
        self._pause = PAUSE

    def restart_if_large(self, connection: Any, *, before: Callable[[], None]) -> None:
        """Restart the log if it is longer than its limit and its readers end in time; call `before` just before that.

        Call this at the head of the queue, outside any transaction. It suppresses errors: the commit before it
        stands, and the next transaction meets them itself.
        """
        self._until_check -= 1
        if self._until_check:
            return
        self._until_check = CHECK_EVERY
        with suppress(self._driver.Error, OSError):
            if size_at(self._path) <= LIMIT + LIMIT // 8:
                self._pause = PAUSE
            elif not 0 <= time.time() - self._queue.restarted_at() < self._pause:
                before()
                self._restart(connection)

    def _restart(self, connection: Any) -> None:
        until = time.monotonic() + WAIT
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            # The first column of the answer says whether a reader was in the way.
            while connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()[0][0] and time.monotonic() < until:
                time.sleep(POLL)
        finally:
            connection.execute(f"PRAGMA busy_timeout = {self._busy_timeout}")
            self._queue.note_restart()
        self._pause = min(2 * self._pause, LONGEST_PAUSE)  # if the restart has worked, the next check resets it
