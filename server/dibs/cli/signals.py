"""What a signal does to a command that has something half made."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let a signal end the command as an exception does: what was half made is removed on the way out.

    It may come in the middle of a library's work, which then complains of what it finds on that way.
    """
    came: list[int] = []

    def end(number: int, _: object) -> None:
        came.append(number)
        sys.exit(128 + number)

    before = {one: signal.signal(one, end) for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        if came:
            sys.exit(128 + came[0])
