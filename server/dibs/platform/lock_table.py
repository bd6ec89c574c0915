"""The kernel's table of file locks, and the names of the processes in it. Only Linux shows such a table."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import NamedTuple

LOCKS = Path("/proc/locks")


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
    if sys.platform == "win32":
        return []
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
