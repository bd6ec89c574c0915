"""The signals that end a process, and how an event loop receives them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

if sys.platform == "win32":
    CLOSED_TERMINAL = signal.SIGBREAK
    """What a process receives when its terminal is closed, and from Ctrl-Break."""
    KILL = signal.SIGTERM
    """Ends a process at once, if another process sends it. Source: os.kill, which calls TerminateProcess."""
    KILLED = int(signal.SIGTERM)
    """The exit status of a process that was ended by KILL, as subprocess reports it."""
    CAN_SIGNAL = False
    """Whether a process can send another one signals that do anything but end it at once."""
else:
    CLOSED_TERMINAL = signal.SIGHUP
    KILL = signal.SIGKILL
    KILLED = -signal.SIGKILL
    CAN_SIGNAL = True

ENDING = (signal.SIGINT, CLOSED_TERMINAL, signal.SIGTERM)
"""The signals that ask a process to end. Handlers are installed in this order: one for SIGTERM means that all are there."""


@contextmanager
def received(numbers: Sequence[signal.Signals], action: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Make the running event loop call `action`, on its next turn, for each of the signals. Call it in the main thread.

    At the end of the block, the earlier handlers are back.
    """
    import asyncio  # `dibs serve` installs its first handlers before such imports

    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if sys.platform == "win32":  # its event loops take no handlers, but wake up for signals
            signal.signal(number, lambda given, _: loop.call_soon_threadsafe(action, signal.Signals(given)))
        else:
            loop.add_signal_handler(number, action, number)
    try:
        yield
    finally:
        for number, handler in before.items():
            if sys.platform != "win32":
                loop.remove_signal_handler(number)
            signal.signal(number, handler)


def kill(pid: int) -> None:
    """End a process at once. Raises ProcessLookupError if it has ended already."""
    try:
        os.kill(pid, KILL)
    except OSError as error:
        if sys.platform == "win32":  # it has several errors for a process that has ended
            raise ProcessLookupError(error.errno, error.strerror) from error
        raise


def stop(pid: int) -> None:
    """Suspend a process until `resume`. Raises ProcessLookupError, and OSError on Windows, which cannot do that."""
    if sys.platform == "win32":
        raise OSError("Windows does not suspend processes")
    os.kill(pid, signal.SIGSTOP)


def resume(pid: int) -> None:
    """Resume a suspended process. Raises ProcessLookupError, and OSError on Windows."""
    if sys.platform == "win32":
        raise OSError("Windows does not suspend processes")
    os.kill(pid, signal.SIGCONT)
