"""Which file is at a path, and its size, read without reading its times."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable
from typing import Any

FileId = tuple[int, int]
"""A file's device and its inode number there."""

_HERE = -100  # AT_FDCWD
_NUMBER, _LENGTH = 0x100, 0x200  # STATX_INO, STATX_SIZE
_SIZE = 256
_NUMBER_AT, _LENGTH_AT, _DEVICE_AT = 32, 40, 136


def file_of(stat: os.stat_result) -> FileId:
    """Return the identity of the file that `stat` describes."""
    return stat.st_dev, stat.st_ino


def _by_stat(path: bytes) -> FileId:
    return file_of(os.stat(path))  # noqa: PTH116 - on every write


def _by_statx(path: bytes) -> FileId:
    found = ctypes.create_string_buffer(_SIZE)
    if _statx(_HERE, path, 0, _NUMBER, found) != 0:
        return _by_stat(path)  # an older kernel or a missing file; stat raises the reason
    major, minor = struct.unpack_from("=II", found, _DEVICE_AT)
    return os.makedev(major, minor), struct.unpack_from("=Q", found, _NUMBER_AT)[0]


def size_at(path: bytes) -> int:
    """Return the size in bytes of the file at an encoded path, without reading its times. Raises OSError."""
    found = ctypes.create_string_buffer(_SIZE)
    if _statx is None or _statx(_HERE, path, 0, _LENGTH, found) != 0:
        return os.stat(path).st_size  # noqa: PTH116 - often
    size: int = struct.unpack_from("=Q", found, _LENGTH_AT)[0]
    return size


_statx: Any = getattr(ctypes.CDLL(None), "statx", None) if sys.platform == "linux" else None

file_at: Callable[[bytes], FileId] = _by_statx if _statx is not None else _by_stat
"""The file at an encoded path, symbolic links followed. Raises OSError.

Since Linux 6.13, a file whose times were read must get a new time at the next write, which puts its inode into the
file system's journal: with os.stat on the log, a commit took a third longer.
Source: statx(2); "multigrain timestamps" in the kernel's documentation; measured in
docs/decisions/007-file-numbers-without-times.md.
"""
