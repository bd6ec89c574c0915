"""The processes that have a database file open or wait for it, from the kernel's list of locks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dibs.platform.file_locks import lock_bytes
from dibs.platform.lock_table import locks_on, process_name
from dibs_schema.refusals import Busy

_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510
"""The bytes that every connection to a database with a write-ahead log locks for reading, as long as it is open.

Source: https://www.sqlite.org/fileformat2.html#the_lock_byte_page, and `unixLock` in SQLite's os_unix.c.
"""
_WRITING, _READING = range(120, 121), range(123, 128)
"""The bytes of the shared memory that a writer locks, and those that a reader of a snapshot locks.

Source: https://www.sqlite.org/walformat.html#how_the_various_locks_are_used.
"""

PAUSE = 0.15
"""Seconds between two reads of the locks; a process that appears in all of them has held its lock for long."""


def attached(path: Path) -> list[str]:
    """Return the other processes that have the database open, as far as the kernel names them."""
    pids = {lock.pid for lock in locks_on(path) if lock.kind == "POSIX"} - {os.getpid()}
    return [process_name(pid) for pid in sorted(pids)]


def holder_of(path: Path) -> str | None:
    """Return the other process that keeps this one from the database, if any.

    It has the write lock, or else is the head of the writer queue, or else has locked the file itself exclusively.
    """
    pids = (writers_of(path) or head_of_queue(path) or _exclusive_holders(path)) - {os.getpid()}
    return ", ".join(map(process_name, sorted(pids))) or None


def _exclusive_holders(path: Path) -> set[int]:
    return {one.pid for one in locks_on(path) if one.kind != "FLOCK" and one.writing and not one.waiting}


def writers_of(path: Path) -> set[int]:
    """Return the process that holds the database's write lock, if any."""
    return {one.pid for one in locks_on(Path(f"{path}-shm")) if one.writing and one.covers(_WRITING)}


def head_of_queue(path: Path) -> set[int]:
    """Return the process at the head of the database's writer queue, if any."""
    return {one.pid for one in locks_on(Path(f"{path}.lock")) if not one.waiting}


def readers_of(path: Path) -> set[int]:
    """Return the other processes that hold a snapshot of the database."""
    held = (one for one in locks_on(Path(f"{path}-shm")) if one.covers(_READING) and not one.writing)
    return {one.pid for one in held} - {os.getpid()}


def persistent(look: Callable[[], set[int]], times: int = 4) -> set[int]:
    """Return the processes that are found in each of `times` consecutive reads of the locks."""
    found = look()
    for _ in range(times - 1):
        if found:
            time.sleep(PAUSE)
            found &= look()
    return found


def is_open_nowhere(path: Path) -> bool | None:
    """Return whether no process, in any container, has the database open, or None if that is unknown.

    Call this before this process opens it.
    """
    try:
        with exclusive_access(path):
            return True
    except Busy:
        return False
    except OSError:
        return None


@contextmanager
def exclusive_access(path: Path) -> Iterator[None]:
    """Exclude every other process from a database file, which this process must not have open either.

    Raises Busy if a process has it open, with the process's name if the kernel knows it.
    """
    with path.open("r+b") as file:
        try:
            lock_bytes(file.fileno(), _SHARED_FIRST, _SHARED_SIZE)
        except BlockingIOError as error:
            holders = ", ".join(attached(path)) or "another process"
            raise Busy(
                f"{path} is open: {holders}. Nothing was changed. Stop the servers that use it, then call again."
            ) from error
        yield
