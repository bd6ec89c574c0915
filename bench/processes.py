"""Runs the same work in many processes at once, and times how long one of them holds the writer queue."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar
from unittest.mock import patch

from dibs.database.sqlite.writer_queue import WriterQueue

T = TypeVar("T")

STARTED_WITHIN = 120.0
"""Seconds within which all processes must have reached the barrier."""


class Barrier(Protocol):
    """A barrier at which the processes wait for each other."""

    def wait(self) -> int:
        """Wait until all processes have arrived."""


Work = Callable[..., T]
"""Called with the process's number, the barrier, and the given arguments; its result can be pickled."""


def run_together(work: Work[T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
    """Run `work` in one new process for each element of `arguments`; return the results in that order.

    Raises RuntimeError if a process ends without a result.
    """
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(len(arguments), timeout=STARTED_WITHIN)
    workers = []
    for number, given in enumerate(arguments):
        ours, theirs = spawn.Pipe(duplex=False)
        worker = spawn.Process(target=_run, args=(work, number, barrier, theirs, given))
        worker.start()
        theirs.close()
        workers.append((worker, ours))
    results = []
    for worker, ours in workers:
        try:
            results.append(ours.recv())
        except EOFError as error:
            raise RuntimeError("one of the processes has ended without a result") from error
        worker.join()
    return results


def _run(work: Work[T], number: int, barrier: Barrier, answer: Any, given: tuple[Any, ...]) -> None:
    answer.send(work(number, barrier, *given))
    answer.close()


@contextmanager
def queue_held() -> Iterator[list[float]]:
    """Collect for how many seconds this process holds the writer queue, each time; the queue itself is the real one.

    The write lock is held for a little less. The clock is read before the next writer gets the queue, because
    that writer may take this processor at once.
    """
    times: list[float] = []
    entered: list[float] = []
    enter, leave = WriterQueue.enter, WriterQueue.leave

    def timed_enter(queue: WriterQueue) -> None:
        enter(queue)
        entered.append(time.perf_counter())

    def timed_leave(queue: WriterQueue) -> None:
        times.append(time.perf_counter() - entered.pop())
        leave(queue)

    with patch.object(WriterQueue, "enter", timed_enter), patch.object(WriterQueue, "leave", timed_leave):
        yield times
