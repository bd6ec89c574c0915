"""Threads of our own for the database, so that the event loop never waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from queue import SimpleQueue
from typing import TypeVar

from dibs_schema.refusals import Busy

T = TypeVar("T")

OVERDUE = 10.0
"""Seconds after its patience in which a job that has begun must end by itself, before it is interrupted."""
LAST_COMMIT = 0.3
"""Seconds that closing waits for a commit; a longer one waits for a server that does not answer."""


class WorkerThreads:
    """A first-in-first-out queue that `count` daemon threads work off.

    They are daemons so that one which is stuck in a lock cannot hold up the exit; the `CommitGate` keeps it from
    committing then. A job says by `begin` that it has begun; until then its caller can cancel it.
    """

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._count = count
        self._started = 0
        self._starting = threading.Lock()
        self._jobs: deque[Callable[[], None]] = deque()
        self._tickets: SimpleQueue[None] = SimpleQueue()

    def submit(self, job: Callable[[Future[T]], None], *, urgent: bool = False) -> Future[T]:
        """Queue a job, which resolves the future that it is given; an `urgent` one goes to the front."""
        future: Future[T] = Future()
        (self._jobs.appendleft if urgent else self._jobs.append)(lambda: job(future))
        self._tickets.put(None)  # one for each job; the thread that takes it runs the first job
        if self._started < self._count:
            self._start_another()
        return future

    def _start_another(self) -> None:
        with self._starting:
            if self._started < self._count:
                self._started += 1
                threading.Thread(target=self._run, name=f"{self._name}-{self._started}", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._tickets.get()
            self._jobs.popleft()()


class CommitGate:
    """A lock that each commit holds. Once the gate is closed, no transaction of this process commits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Wait a moment for the current commit, and let no other begin."""
        waited = self._lock.acquire(timeout=LAST_COMMIT)
        self._closed = True
        if waited:
            self._lock.release()

    @property
    def closed(self) -> bool:
        """True once it is closed."""
        return self._closed

    def __enter__(self) -> bool:
        """Hold the gate, and return whether it is open."""
        self._lock.acquire()
        return not self._closed

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def begun_at_once(work: Callable[[], T]) -> Callable[[Future[T]], None]:
    """Return a job that begins as soon as a thread takes it, and runs `work`."""

    def run(future: Future[T]) -> None:
        def begun() -> T:
            begin(future)
            return work()

        resolve(future, begun)

    return run


def begin(future: Future[T]) -> None:
    """Note that a job has begun. Raises CancelledError where its caller has given it up."""
    if not (future.running() or future.set_running_or_notify_cancel()):
        raise CancelledError


def resolve(future: Future[T], work: Callable[[], T]) -> None:
    """Resolve the future with what `work` returns or raises; leave it alone where it raises CancelledError."""
    try:
        result = work()
    except CancelledError:
        pass
    except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
        if future.running() or future.set_running_or_notify_cancel():
            future.set_exception(error)
    else:
        future.set_result(result)


async def outcome(
    future: Future[T], patience: float, busy: Callable[[float], Busy], interrupt: Callable[[], object]
) -> T:
    """Wait `patience` seconds for a job to begin, then for its end; call `interrupt` where that is overdue.

    Raises what `busy` returns where the job has not begun in time, and what the job raises.
    """
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def wake(_: Future[T]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, so nobody waits
            loop.call_soon_threadsafe(done.set)

    future.add_done_callback(wake)
    deadline = loop.call_later(patience, done.set)
    try:
        await done.wait()
    finally:
        deadline.cancel()
    if not future.done():
        if future.cancel():
            raise busy(patience)
        done.clear()
        if not future.done():  # it has begun, and ends by itself
            overdue = loop.call_later(OVERDUE, interrupt)
            try:
                await done.wait()
            finally:
                overdue.cancel()
    return future.result()


def wait(future: Future[T], patience: float, busy: Callable[[float], Busy], interrupt: Callable[[], object]) -> T:
    """Do the same as `outcome` without an event loop; the patience may be infinite."""
    try:
        return future.result(patience if math.isfinite(patience) else None)
    except TimeoutError:
        if future.cancel():
            raise busy(patience) from None
    try:
        return future.result(OVERDUE)
    except TimeoutError:
        interrupt()
        return future.result()
