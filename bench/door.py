"""How long the door is held, and so the write lock behind it, by whatever this process writes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from dibs.database.sqlite.writer_queue import WriterQueue


@contextmanager
def held_times() -> Iterator[list[float]]:
    """The seconds from getting in to letting the next one in, of each time; the door itself is the real one.

    It is closed around the write lock, so the lock is held for a little less. Read before the next one is let in,
    who may take this processor at once.
    """
    times: list[float] = []
    entered: list[float] = []
    enter, leave = WriterQueue.enter, WriterQueue.leave

    def timed_enter(door: WriterQueue) -> None:
        enter(door)
        entered.append(time.perf_counter())

    def timed_leave(door: WriterQueue) -> None:
        times.append(time.perf_counter() - entered.pop())
        leave(door)

    with patch.object(WriterQueue, "enter", timed_enter), patch.object(WriterQueue, "leave", timed_leave):
        yield times
