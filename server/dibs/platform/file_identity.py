"""The identity and size of the file at a path, read without its times."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable
from typing import Any

from dibs.platform import system_calls

FileId = tuple[int, int]
"""A file's device and inode number."""

_AT_FDCWD = -100
_STATX_INO, _STATX_SIZE = 0x100, 0x200
_BYTES = 256  # of struct statx
_INODE_OFFSET, _SIZE_OFFSET, _DEVICE_OFFSET = 32, 40, 136


def file_of(stat: os.stat_result) -> FileId:
    """Return the identity of the file that `stat` describes."""
    return stat.st_dev, stat.st_ino


def _by_stat(path: bytes) -> FileId:
    return file_of(os.stat(path))  # noqa: PTH116 - on every write


def _by_statx(path: bytes) -> FileId:
    found = ctypes.create_string_buffer(_BYTES)
    if sys.platform == "win32" or _statx(_AT_FDCWD, path, 0, _STATX_INO, found) != 0:
        return _by_stat(path)  # an older kernel or a missing file; stat raises the reason
    major, minor = struct.unpack_from("=II", found, _DEVICE_OFFSET)
    return os.makedev(major, minor), struct.unpack_from("=Q", found, _INODE_OFFSET)[0]


def size_at(path: bytes) -> int:
    """Return the size in bytes of the file at an encoded path, without reading its times. Raises OSError."""
    found = ctypes.create_string_buffer(_BYTES)
    if _statx is None or _statx(_AT_FDCWD, path, 0, _STATX_SIZE, found) != 0:
        return os.stat(path).st_size  # noqa: PTH116 - often
    size: int = struct.unpack_from("=Q", found, _SIZE_OFFSET)[0]
    return size


_statx: Any = getattr(system_calls.libc(), "statx", None) if sys.platform == "linux" else None

file_at: Callable[[bytes], FileId] = _by_statx if _statx is not None else _by_stat
"""Return the identity of the file at an encoded path, and follow symbolic links. Raises OSError.

Since Linux 6.13, a file whose times were read receives a new time at the next write, which puts its inode into the
file system's journal: with os.stat on the log, a commit took a third longer.
Source: statx(2); "multigrain timestamps" in the kernel's documentation; measured in
docs/decisions/007-file-numbers-without-times.md.
"""
