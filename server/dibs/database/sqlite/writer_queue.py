"""The door: one writer at a time, first come, first served."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from dibs.database.sqlite.file_identity import File, file_at, file_of

try:
    import fcntl
except ImportError:  # no flock on this platform: the engine's own retries serve alone
    fcntl = None  # type: ignore[assignment]  # the checker knows POSIX only


class Door:
    """An exclusive flock on a file beside the database.

    SQLite lets waiting writers poll, and whoever polls luckily wins; the kernel queues those who wait
    for a flock. The file carries no data and is never unlinked. One thread of a process uses a door,
    since flock does not exclude threads that share a descriptor.
    Source: flock(2); measured against a plain busy timeout in docs/decisions/002-writer-queue.md.
    """

    def __init__(self, path: Path) -> None:
        self._path = os.fsencode(path)
        self._descriptor: int | None = None
        self._file: File | None = None
        _leave_to_the_parent(self)

    def enter(self) -> None:
        """Wait in the queue, for as long as it takes. Raises OSError where the file cannot be opened."""
        if fcntl is None:
            return
        while True:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                self._file = file_of(os.fstat(self._descriptor))
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if self._is_the_file_at_the_path():
                return
            self.close()  # deleted or replaced: others queue at another file

    def leave(self) -> None:
        """Let the next one in."""
        if fcntl is not None and self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def mark(self) -> None:
        """Let all processes see that just now one of them was behind the door for longer. Raises OSError."""
        if self._descriptor is not None:
            os.utime(self._descriptor)

    def marked_at(self) -> float:
        """When the door was last marked, by the wall clock; long ago if it never was. Raises OSError."""
        return os.fstat(self._descriptor).st_mtime if self._descriptor is not None else 0.0

    def close(self) -> None:
        """Give up the descriptor, and with it any place in the queue."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _is_the_file_at_the_path(self) -> bool:
        try:
            return file_at(self._path) == self._file
        except FileNotFoundError:
            return False


def _leave_to_the_parent(door: Door) -> None:
    """Have a fork give up its descriptor: a child that lived on would hold the place of a parent killed in a write."""
    there = weakref.ref(door)

    def close() -> None:
        inherited = there()
        if inherited is not None:
            inherited.close()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=close)
