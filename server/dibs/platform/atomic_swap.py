"""Exchanges the names of two files, in one step where the system can."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

from dibs.platform import system_calls

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_RENAME_SWAP = 2
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


def _linux_swap(one: bytes, other: bytes) -> int:
    """Source: renameat2(2), RENAME_EXCHANGE."""
    result: int = system_calls.libc().renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE)
    return result


def _macos_swap(one: bytes, other: bytes) -> int:
    """Source: renamex_np(2), RENAME_SWAP."""
    result: int = system_calls.libc().renamex_np(one, other, _RENAME_SWAP)
    return result


SWAPS: dict[str, Callable[[bytes, bytes], int]] = {"linux": _linux_swap, "darwin": _macos_swap}


def exchange_names(one: Path, other: Path) -> None:
    """Exchange the names of two files: in one step on Linux and macOS, else in three. Raises OSError."""
    swap = SWAPS.get(sys.platform)
    if swap is not None:
        try:
            if swap(os.fsencode(one.absolute()), os.fsencode(other.absolute())) == 0:
                return
        except AttributeError:  # an older C library
            pass
        else:
            error = system_calls.posix_error(str(other))
            if error.errno not in _NO_EXCHANGE:
                raise error
    between = one.with_name(f"{one.name}.new")
    one.rename(between)
    other.rename(one)
    between.rename(other)
