"""The system's own libraries, for calls that Python does not offer. ctypes is imported at the first of them."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any


@cache
def libc() -> Any:
    """Return the C library of a POSIX system."""
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


@cache
def windows_library(name: str) -> Any:
    """Return a library of Windows. Raises OSError elsewhere."""
    import ctypes

    if sys.platform == "win32":
        return ctypes.WinDLL(name, use_last_error=True)
    raise OSError(f"{name} is a library of Windows")


def posix_error(path: str) -> OSError:
    """Return the error of the last failed call of `libc`, which concerned `path`."""
    import ctypes

    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)


def windows_error(path: str | None = None) -> OSError:
    """Return the error of the last failed call of a library of Windows."""
    import ctypes

    if sys.platform == "win32":
        error = ctypes.WinError(ctypes.get_last_error())
        error.filename = path
        return error
    return OSError("a call of Windows failed")
