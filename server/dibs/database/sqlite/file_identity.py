"""Which file is at a path, and how large it is, asked without its times."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable
from typing import Any

File = tuple[int, int]
"""A file's device and its number there."""

_HERE = -100  # AT_FDCWD
_NUMBER, _LENGTH = 0x100, 0x200  # STATX_INO, STATX_SIZE
_SIZE = 256
_NUMBER_AT, _LENGTH_AT, _DEVICE_AT = 32, 40, 136


def file_of(stat: os.stat_result) -> File:
    """The file that `stat` is of."""
    return stat.st_dev, stat.st_ino


def _by_stat(path: bytes) -> File:
    return file_of(os.stat(path))  # noqa: PTH116 - on every write


def _by_statx(path: bytes) -> File:
    found = ctypes.create_string_buffer(_SIZE)
    if _statx(_HERE, path, 0, _NUMBER, found) != 0:
        return _by_stat(path)  # an older kernel, or a file that is not there; this one says what
    major, minor = struct.unpack_from("=II", found, _DEVICE_AT)
    return os.makedev(major, minor), struct.unpack_from("=Q", found, _NUMBER_AT)[0]


def size_at(path: bytes) -> int:
    """The size of the file at an encoded path in bytes, asked without its times. Raises OSError."""
    found = ctypes.create_string_buffer(_SIZE)
    if _statx is None or _statx(_HERE, path, 0, _LENGTH, found) != 0:
        return os.stat(path).st_size  # noqa: PTH116 - often
    size: int = struct.unpack_from("=Q", found, _LENGTH_AT)[0]
    return size


_statx: Any = getattr(ctypes.CDLL(None), "statx", None) if sys.platform == "linux" else None

file_at: Callable[[bytes], File] = _by_statx if _statx is not None else _by_stat
"""The file at an encoded path, symbolic links followed. Raises OSError.

From Linux 6.13 on, a file whose times were looked at must get a time of its own at the next write, which
puts its inode into the file system's journal: with os.stat on the log, a commit took a third longer.
Source: statx(2); "multigrain timestamps" in the kernel's documentation; measured in
docs/decisions/007-file-numbers-without-times.md.
"""
