"""The same work by many processes at once, each with a database of its own opened."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

STARTED_WITHIN = 120.0
"""Seconds in which all of them have begun, or something is wrong."""


class Barrier(Protocol):
    """Where they wait for each other."""

    def wait(self) -> int:
        """Wait until all are here."""


Work = Callable[..., T]
"""Called with the process's number, the barrier, and the given arguments; what it returns can be pickled."""


def together(work: Work[T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
    """Run `work` in a process for each of the arguments; what they return, in that order.

    Raises RuntimeError where one of them ends without having returned.
    """
    spawn = multiprocessing.get_context("spawn")
    begin = spawn.Barrier(len(arguments), timeout=STARTED_WITHIN)
    workers = []
    for number, given in enumerate(arguments):
        ours, theirs = spawn.Pipe(duplex=False)
        worker = spawn.Process(target=_run, args=(work, number, begin, theirs, given))
        worker.start()
        theirs.close()
        workers.append((worker, ours))
    found = []
    for worker, ours in workers:
        try:
            found.append(ours.recv())
        except EOFError as error:
            raise RuntimeError("a process of the crowd has ended without a result") from error
        worker.join()
    return found


def _run(work: Work[T], number: int, begin: Barrier, answer: Any, given: tuple[Any, ...]) -> None:
    answer.send(work(number, begin, *given))
    answer.close()
