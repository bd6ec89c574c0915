"""The writer queue: one writer at a time, first in, first out."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from dibs.platform.file_identity import FileId, file_at, file_of
from dibs.platform.file_locks import lock, unlock
from dibs.regular_file import refuse_irregular

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


class WriterQueue:
    """An exclusive lock on a file next to the database.

    SQLite's waiting writers poll, in no order. The kernel queues processes that wait for a lock. The file carries no
    data and is never unlinked. Only one thread of a process uses a queue, since the lock does not exclude threads that
    share a descriptor.
    Source: flock(2); measured against a plain busy timeout in docs/decisions/002-writer-queue.md.
    """

    def __init__(self, path: Path) -> None:
        self._path = os.fsencode(path)
        self._descriptor: int | None = None
        self._file: FileId | None = None
        self._entered = 0
        if hasattr(os, "register_at_fork"):  # a child would keep the place of a parent that is killed during a write
            inherited = weakref.WeakMethod(self.close)
            os.register_at_fork(after_in_child=lambda: (close := inherited()) and close())

    def enter(self) -> None:
        """Wait in the queue without a limit, or stay in it. Raises InvalidInput or OSError if it cannot be opened."""
        if self._entered:
            self._entered += 1
            return
        while True:
            if self._descriptor is None:
                refuse_irregular(Path(os.fsdecode(self._path)), "db", follow=False)
                self._descriptor = os.open(self._path, _FLAGS, 0o600)
                self._file = file_of(os.fstat(self._descriptor))
            lock(self._descriptor, wait=True)
            if self._is_the_file_at_the_path():
                self._entered = 1
                return
            self.close()  # the file was deleted or replaced: other writers queue at another one

    def leave(self) -> None:
        """Let the next writer in, once `leave` was called as often as `enter`."""
        self._entered = max(self._entered - 1, 0)
        if not self._entered and self._descriptor is not None:
            unlock(self._descriptor)

    def note_restart(self) -> None:
        """Record an attempt to restart the log, as the time of the file. Raises OSError."""
        if self._descriptor is not None:
            os.utime(self._descriptor if os.utime in os.supports_fd else self._path)

    def restarted_at(self) -> float:
        """Return the wall clock at the last attempt to restart the log, or 0 before the first. Raises OSError."""
        return os.fstat(self._descriptor).st_mtime if self._descriptor is not None else 0.0

    def close(self) -> None:
        """Close the descriptor, which gives up any place in the queue."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _is_the_file_at_the_path(self) -> bool:
        try:
            return file_at(self._path) == self._file
        except FileNotFoundError:
            return False
