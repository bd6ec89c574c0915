"""Syncs files and folders to disk, so that a power cut does not undo what was written."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

F_FULLFSYNC = 51
"""macOS's fcntl command, which Python names on macOS alone. Source: <sys/fcntl.h>."""
_NO_FULL_SYNC = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY)


def _sync_through_cache(descriptor: int) -> None:
    """Flush the disk's cache too, which fsync on macOS does not; fall back to fsync where a file system cannot do that.

    Source: fsync(2) and fcntl(2) of macOS, F_FULLFSYNC; SQLite's full_fsync.
    """
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.fcntl(descriptor, F_FULLFSYNC)
    except OSError as error:
        if error.errno not in _NO_FULL_SYNC:
            raise
        os.fsync(descriptor)


SYNCS: dict[str, Callable[[int], None]] = {"darwin": _sync_through_cache}

sync_descriptor = SYNCS.get(sys.platform, os.fsync)
"""Sync an open file. Raises OSError."""


def sync_data(descriptor: int) -> None:
    """Sync an open file's bytes, and the metadata that is needed to read them. Raises OSError. Source: fdatasync(2)."""
    if sys.platform == "linux":
        os.fdatasync(descriptor)
    else:
        sync_descriptor(descriptor)


def open_to_sync(path: str | bytes | Path) -> int:
    """Open a file that exists, and return a descriptor to sync it. Raises OSError."""
    flags = os.O_RDWR if sys.platform == "win32" else os.O_RDONLY  # FlushFileBuffers needs a handle that writes
    return os.open(path, flags | getattr(os, "O_CLOEXEC", 0))


def sync_file(path: Path) -> None:
    """Sync a file that this process does not have open. Raises OSError."""
    _sync(path)


def sync_folder(path: Path) -> None:
    """Sync the names in a folder. Raises OSError.

    Windows syncs no folders: its file systems write their own log for names, and SQLite relies on that too.
    """
    if sys.platform != "win32":
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = open_to_sync(path)
    try:
        sync_descriptor(descriptor)
    finally:
        os.close(descriptor)
