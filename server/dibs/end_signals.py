"""The signals that end a server, and what they do before and while it serves.

The module imports little, so that `install_early_exit` can run before slower imports.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

from dibs.platform.signals import ENDING, received


def _signals() -> list[signal.Signals]:
    """The signals that end a server, except those that were ignored at its start, as SIGHUP is under nohup."""
    return [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]


def install_early_exit() -> None:
    """Make the signals that end a server end the process with status 0, until `signals_call` takes them over.

    Raises ValueError outside the main thread.
    """
    for number in _signals():
        signal.signal(number, lambda *_: os._exit(0))  # there is nothing to clean up yet


@contextlib.contextmanager
def signals_call(end: Callable[[], None]) -> Iterator[None]:
    """Make the event loop call `end`, on its next turn, for each signal that ends a server.

    It uses the loop's handlers and not a task around anyio's signal receiver: a task group would wrap exceptions of
    the lifespan in an ExceptionGroup.
    """
    with received(_signals(), lambda _: end()):
        yield
