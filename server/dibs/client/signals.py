"""Releases claims before a signal ends the process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

RELEASE_PATIENCE = 5.0
"""Seconds that a release may delay the end of the process."""


@contextmanager
def before_signals(numbers: Sequence[signal.Signals], default: Any, action: Callable[[], None]) -> Iterator[None]:
    """Run `action` when one of the signals arrives, and then the signal's present handler.

    This happens only in the main thread, and only if that handler is `default`: a program's own handler is not
    replaced.
    """
    handlers: dict[signal.Signals, _Handler] = {}
    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            previous = signal.getsignal(number)
            if previous is default or (isinstance(previous, _Handler) and previous.default is default):
                handlers[number] = _Handler(action, previous, default)
                signal.signal(number, handlers[number])
    try:
        yield
    finally:
        for number, handler in handlers.items():
            handler.action = None  # a later handler may still lead to this one
            current: object = signal.getsignal(number)
            if current is handler:
                signal.signal(number, handler.previous)


class _Handler:
    """A handler that then calls the earlier one. In a fork it does only that."""

    def __init__(self, action: Callable[[], None], previous: Any, default: Any) -> None:
        self.action: Callable[[], None] | None = action
        self.previous = previous
        self.default = default
        self._owner = os.getpid()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.action is not None and os.getpid() == self._owner:
            self.action()
        if callable(self.previous):
            self.previous(number, frame)
        else:
            signal.signal(number, self.previous)
            os.kill(os.getpid(), number)


def in_thread(action: Callable[[], None]) -> None:
    """Run an action of a signal handler in its own thread, since the interrupted code may hold the locks it needs."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(RELEASE_PATIENCE)
