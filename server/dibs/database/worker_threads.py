"""Worker threads for the database, so that the event loop never waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

from dibs_schema.refusals import Busy

T = TypeVar("T")

LOOK_UP = 0.4
"""Seconds for which a call whose patience has ended looks for the lock's holder."""
OVERDUE = 10.0
"""Seconds after its patience until a job that has begun is interrupted."""
LAST_COMMIT = 0.3
"""Seconds that closing waits for a commit. A commit that takes longer waits for a server that does not answer."""


class WorkerThreads:
    """A first-in-first-out queue of jobs for `count` daemon threads.

    A daemon thread that waits for a lock does not delay the exit, and the `CommitGate` keeps it from committing.
    A job calls `begin` when it begins; until then its caller can cancel it.
    """

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._count = count
        self._started = 0
        self._starting = threading.Lock()
        self._jobs: deque[Callable[[], None]] = deque()
        self._tickets: SimpleQueue[None] = SimpleQueue()

    def submit(self, job: Callable[[Future[T]], None], *, urgent: bool = False) -> Future[T]:
        """Queue a job, which resolves the future that it receives; an `urgent` one goes to the front."""
        future: Future[T] = Future()
        (self._jobs.appendleft if urgent else self._jobs.append)(lambda: job(future))
        self._tickets.put(None)  # one for each job; the thread that takes it runs the first job
        if self._started < self._count:
            with self._starting:
                if self._started < self._count:
                    self._started += 1
                    threading.Thread(target=self._run, name=f"{self._name}-{self._started}", daemon=True).start()
        return future

    def _run(self) -> None:
        while True:
            self._tickets.get()
            self._jobs.popleft()()


class CommitGate:
    """A lock that each commit holds. After the gate is `closed`, no transaction of this process commits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.closed = False

    def close(self) -> None:
        """Wait up to `LAST_COMMIT` seconds for the current commit, and let no other begin."""
        waited = self._lock.acquire(timeout=LAST_COMMIT)
        self.closed = True
        if waited:
            self._lock.release()

    def __enter__(self) -> bool:
        """Hold the gate. Returns whether it is open."""
        self._lock.acquire()
        return not self.closed

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def job_of(work: Callable[[], T]) -> Callable[[Future[T]], None]:
    """Return a job that begins as soon as a thread takes it, and runs `work`."""

    def begin_and_work(future: Future[T]) -> T:
        begin(future)
        return work()

    return lambda future: resolve(future, lambda: begin_and_work(future))


def begin(future: Future[T]) -> None:
    """Mark a job as begun. Raises CancelledError if its caller has cancelled it."""
    if not (future.running() or future.set_running_or_notify_cancel()):
        raise CancelledError


def resolve(future: Future[T], work: Callable[[], T]) -> None:
    """Resolve the future with what `work` returns or raises, unless that is CancelledError."""
    try:
        result = work()
    except CancelledError:
        pass
    except BaseException as error:  # noqa: BLE001 - the caller raises it
        if future.running() or future.set_running_or_notify_cancel():
            future.set_exception(error)
    else:
        future.set_result(result)


@dataclass(frozen=True, slots=True)
class Overtime:
    """What the caller of a job does after its patience.

    `look_up` finds who keeps the job waiting, or returns None; it is abandoned after `LOOK_UP` seconds. `busy` receives
    the patience and that holder, and returns the refusal for a job that has not begun. `interrupt` ends an overdue job.
    """

    look_up: Callable[[], Future[str | None]]
    busy: Callable[[float, str | None], Busy]
    interrupt: Callable[[], object]


async def outcome(future: Future[T], patience: float, overtime: Overtime) -> T:
    """Wait `patience` seconds for a job to begin, then for its end.

    Returns the job's result. Raises what the job raises, and Busy if the job has not begun in time.
    """
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def wake(_: Future[T]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(done.set)

    future.add_done_callback(wake)
    deadline = loop.call_later(patience, done.set)
    try:
        await done.wait()
    finally:
        deadline.cancel()
    if future.done():
        return future.result()
    is_abandoned = future.cancel()
    looking, holder = overtime.look_up(), None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOOK_UP):
            holder = await asyncio.wrap_future(looking)
    if is_abandoned:
        raise overtime.busy(patience, holder)
    done.clear()
    if not future.done():  # the job has begun
        overdue = loop.call_later(OVERDUE, overtime.interrupt)
        try:
            await done.wait()
        finally:
            overdue.cancel()
    with _naming(holder):
        return future.result()


def wait(future: Future[T], patience: float, overtime: Overtime) -> T:
    """Do the same as `outcome` without an event loop; the patience may be infinite."""
    try:
        return future.result(patience if math.isfinite(patience) else None)
    except TimeoutError:
        is_abandoned = future.cancel()
    holder = None
    with contextlib.suppress(TimeoutError):
        holder = overtime.look_up().result(LOOK_UP)
    if is_abandoned:
        raise overtime.busy(patience, holder)
    with _naming(holder):
        try:
            return future.result(OVERDUE)
        except TimeoutError:
            overtime.interrupt()
            return future.result()


@contextlib.contextmanager
def _naming(holder: str | None) -> Iterator[None]:
    """Name the holder in the refusal of a job that began and then waited in vain."""
    try:
        yield
    except Busy as busy:
        if holder is not None:
            busy.fact += f" It waited for {holder}."
            busy.details |= {"holder": holder}
        raise
