"""Waits until pipes have something to read."""

from __future__ import annotations

import select
import sys
from collections.abc import Sequence

from dibs.platform import system_calls

if sys.platform == "win32":
    import ctypes
    import msvcrt
    import time
    from ctypes import wintypes

    _PAUSE = 0.002  # seconds

    def _has_more(descriptor: int) -> bool:
        """Return whether there is something to read, or the writer has gone. Source: PeekNamedPipe, namedpipeapi.h."""
        waiting = wintypes.DWORD()
        handle = wintypes.HANDLE(msvcrt.get_osfhandle(descriptor))
        peek = system_calls.windows_library("kernel32").PeekNamedPipe
        return not peek(handle, None, 0, None, ctypes.byref(waiting), None) or waiting.value > 0

    def readable(pipes: Sequence[int], timeout: float | None = None) -> list[int]:
        """Wait until one of the pipes can be read, or has ended; return those, or none after `timeout` seconds.

        Windows has no call that waits for several pipes, so this looks again and again.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not (found := [one for one in pipes if _has_more(one)]):
            if deadline is not None and time.monotonic() >= deadline:
                break
            time.sleep(_PAUSE)
        return found

else:

    def readable(pipes: Sequence[int], timeout: float | None = None) -> list[int]:
        """Wait until one of the pipes can be read, or has ended; return those, or none after `timeout` seconds."""
        return select.select(pipes, [], [], timeout)[0]
