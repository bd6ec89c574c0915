"""The processes that have a database file open or wait for it, from the kernel's list of locks."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from dibs_schema.refusals import Busy

LOCKS = Path("/proc/locks")

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


class FileLock(NamedTuple):
    """One process that holds a lock on bytes of a file, or waits for it; `kind` is FLOCK, POSIX or OFDLCK."""

    pid: int
    kind: str
    writing: bool
    waiting: bool
    first: int
    last: float

    def covers(self, bytes_: range) -> bool:
        """Return whether any of the bytes are locked."""
        return self.first < bytes_.stop and self.last >= bytes_.start


def process_name(pid: int) -> str:
    """Return a process's id and name, without its arguments, which may hold a password."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return f"pid {pid}"
    return f"pid {pid} ({name})"


def locks_on(path: Path) -> list[FileLock]:
    """Return the locks on a file, waiting ones in their order; an empty list if the kernel does not list them.

    The list omits processes of other containers, which have no id here.
    Source: proc_locks(5).
    """
    try:
        stat, lines = path.stat(), LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        words = line.split()
        waiting = words[1] == "->"
        if waiting:
            del words[1]
        _, kind, _, mode, pid, place, first, last = words
        major, minor, number = place.split(":")
        if int(number) != stat.st_ino or int(pid) <= 0:
            continue
        device = os.makedev(int(major, 16), int(minor, 16))
        if device == stat.st_dev or _has_open(int(pid), path):
            end = math.inf if last == "EOF" else int(last)
            found.append(FileLock(int(pid), kind, mode == "WRITE", waiting, int(first), end))
    return found


def _has_open(pid: int, path: Path) -> bool:
    """Return whether the process has the path open: /proc/locks and stat show different devices on some file systems."""
    try:
        return any(
            os.readlink(one) == str(path)  # noqa: PTH115 - a magic link, not a path
            for one in Path(f"/proc/{pid}/fd").iterdir()
        )
    except OSError:
        return False


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
    except (ImportError, OSError):
        return None


@contextmanager
def exclusive_access(path: Path) -> Iterator[None]:
    """Exclude every other process from a database file, which this process must not have open either.

    Raises Busy if a process has it open, with the process's name if the kernel knows it.
    """
    import fcntl  # some platforms lack it, and servers also run there

    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST)
        except (BlockingIOError, PermissionError) as error:
            holders = ", ".join(attached(path)) or "another process"
            raise Busy(
                f"{path} is open: {holders}. Nothing was changed. Stop the servers that use it, then call again."
            ) from error
        yield
