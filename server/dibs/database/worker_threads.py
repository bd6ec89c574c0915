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
"""Seconds; a commit that takes longer waits for a server that does not answer."""


class Workers:
    """A first-in-first-out queue that `count` daemon threads work off.

    They are daemons so that one which is stuck in a lock cannot hold up the exit; whatever it might
    still do then is forbidden by the gate (see `Gate`). A job decides by itself when it has begun:
    it calls `future.set_running_or_notify_cancel()`, and up to then its caller can cancel it.
    """

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._count = count
        self._started = 0
        self._starting = threading.Lock()
        self._jobs: deque[Callable[[], None]] = deque()
        self._tickets: SimpleQueue[None] = SimpleQueue()

    def submit(self, job: Callable[[Future[T]], None], *, urgent: bool = False) -> Future[T]:
        """Queue `job`, which resolves the future that it is given; `urgent` goes to the front."""
        future: Future[T] = Future()
        (self._jobs.appendleft if urgent else self._jobs.append)(lambda: job(future))
        self._tickets.put(None)  # one for each job; whoever takes it works off the job in front
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


class Gate:
    """What a commit passes through. Once it is closed, no transaction of this process commits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Wait a moment for a commit that is under way, and admit no other."""
        waited = self._lock.acquire(timeout=LAST_COMMIT)
        self._closed = True
        if waited:
            self._lock.release()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def __enter__(self) -> bool:
        """Hold the gate; True where it is open."""
        self._lock.acquire()
        return not self._closed

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def begun_at_once(work: Callable[[], T]) -> Callable[[Future[T]], None]:
    """A job that begins at once and is `work`."""

    def run(future: Future[T]) -> None:
        def begun() -> T:
            begin(future)
            return work()

        resolve(future, begun)

    return run


def begin(future: Future[T]) -> None:
    """Begin a job, unless it was begun before; raises CancelledError where its caller has given it up."""
    if not (future.running() or future.set_running_or_notify_cancel()):
        raise CancelledError


def resolve(future: Future[T], work: Callable[[], T]) -> None:
    """Give the caller what `work` returns or raises; nothing where it raises CancelledError."""
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
    """Wait `patience` seconds for a job to begin, and then for its end, with an `interrupt` where that is overdue.

    Raises `busy`, and what the job raises.
    """
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def tell(_: Future[T]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
            loop.call_soon_threadsafe(done.set)

    future.add_done_callback(tell)
    deadline = loop.call_later(patience, done.set)
    try:
        await done.wait()
    finally:
        deadline.cancel()
    if not future.done():
        if future.cancel():
            raise busy(patience)
        done.clear()
        if not future.done():  # begun: it ends by itself
            overdue = loop.call_later(OVERDUE, interrupt)
            try:
                await done.wait()
            finally:
                overdue.cancel()
    return future.result()


def wait(
    future: Future[T], patience: float, busy: Callable[[float], Busy], interrupt: Callable[[], object]
) -> T:
    """`outcome`, for callers without an event loop; infinite patience is allowed."""
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
