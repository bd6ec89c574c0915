"""Run jobs on a database: writes in order in one worker thread, reads in other threads."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

import anyio.lowlevel

from dibs.database.engine import DatabaseLocation, Engine
from dibs.database.runner import JobRunner, OverdueSource, QueuedWrite
from dibs.database.worker_threads import Overtime, WorkerThreads, job_of, outcome, wait
from dibs.database.write_job import VerbJob, WriteJob
from dibs.settings import Settings
from dibs_schema.refusals import OutcomeUnknown

if TYPE_CHECKING:  # a worker thread loads SQLAlchemy after the answer to `initialize`
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from dibs.database.health import HealthCheck
    from dibs.database.transaction import Transaction

T = TypeVar("T")


class Database:
    """One backlog's database, shared by the threads and tasks of this process.

    Writes run in order in one thread. Reads have threads of their own, and never wait for a writer.
    A call that cannot begin within its patience is refused with Busy, and its job in the queue then does nothing.
    A job is repeated only if nothing of it was applied.
    """

    def __init__(self, location: DatabaseLocation, settings: Settings) -> None:
        self._process = os.getpid()
        self._token_name: str | None = None
        self._writer = WorkerThreads("dibs-writer", 1)
        self._watcher = WorkerThreads("dibs-watcher", 1)
        self.relocate(location, settings)

    def relocate(self, location: DatabaseLocation, settings: Settings) -> None:
        """Serve the database at another location. No transaction may have run before."""
        self._location = location
        self._settings = settings
        self._readers = WorkerThreads("dibs-reader", location.readers)
        self._runner = JobRunner(location, settings)
        self._connections = self._runner.connections
        self._overtime = Overtime(self._look_up, self._runner.busy, self._interrupt)

    def with_token_name(self, name: str) -> Self:
        """Return the same database for a caller with the access token of that name: its events record the name."""
        view = copy(self)
        view._token_name = name  # noqa: SLF001 - an attribute of this class
        return view

    async def write(
        self, verb: WriteJob[T] | Callable[[Transaction], T], *, patience: float | None = None, urgent: bool = False
    ) -> T:
        """Run a job or a verb in one write transaction, and return its result once it is committed.

        `patience` is in seconds. An `urgent` job goes to the front of this process's queue.
        Raises what the verb raises after a rollback, Busy, and the other Unavailable refusals.
        """
        patience = self._settings.patience if patience is None else patience
        job = _job(verb)
        future = self._submit_write(job, patience, urgent=urgent)
        future.add_done_callback(lambda done: self._settle(done, job))
        try:
            result = await outcome(future, patience, self._overtime)
            # A cancellation that arrived together with the result is raised at the next await. That must happen
            # here, where the write is undone: nobody will read the answer.
            await anyio.lowlevel.checkpoint_if_cancelled()
        except asyncio.CancelledError:
            if not future.cancel():
                future.add_done_callback(lambda late: self._undo(late, job))
            raise
        return result

    async def read(self, verb: Callable[[Transaction], T], *, patience: float | None = None) -> T:
        """Run `verb` on a snapshot, which never waits for a writer. Raises what the verb raises, and Busy."""
        patience = self._settings.patience if patience is None else patience
        return await outcome(self._submit_read(verb, patience), patience, self._overtime)

    def write_now(self, verb: WriteJob[T] | Callable[[Transaction], T], patience: float | None = None) -> T:
        """Do the same as `write` without an event loop, and without `undo` and `settle`."""
        patience = self._settings.patience if patience is None else patience
        future = self._submit_write(_job(verb), patience)
        return wait(future, patience, self._overtime)

    def read_now(self, verb: Callable[[Transaction], T]) -> T:
        """Do the same as `read` without an event loop."""
        patience = self._settings.patience
        return wait(self._submit_read(verb, patience), patience, self._overtime)

    async def warm_up(self) -> None:
        """Open the database before the first call. Raises the refusal that says why it cannot be opened."""

        def open_it() -> None:
            with self._connections.use():
                pass

        await asyncio.shield(asyncio.wrap_future(self._writer.submit(job_of(open_it))))

    async def work_version(self) -> int:
        """Return a number that changes when a commit of any process may have made work ready.

        Reads no table and takes no lock.
        """
        return await self._read_version(lambda engine, connection: engine.work_version(connection))

    async def event_version(self) -> int:
        """Return a number that changes when a commit of any process may have added events; as cheap as `work_version`."""
        return await self._read_version(lambda engine, connection: engine.event_version(connection))

    async def _read_version(self, read: Callable[[Engine, Connection], int]) -> int:
        def run() -> int:
            with self._connections.use(reading=True) as connection:
                return read(self._connections.engine, connection)

        # Versions of two connections do not compare, so one thread reads all of them.
        return await asyncio.wrap_future(self._watcher.submit(job_of(run)))

    @property
    def label(self) -> str:
        """The name of the database as users see it."""
        return self._location.label

    @property
    def file(self) -> Path | None:
        """The file of the database, or None on a server."""
        return self._location.file

    def exists(self) -> bool:
        """Return whether the backlog exists. If not, opening the database creates it."""
        return self._location.exists()

    def check_health(self) -> list[HealthCheck]:
        """Check the health of the engine, the file and its file system. Raises Unavailable."""

        def check() -> list[HealthCheck]:
            with self._connections.use(reading=True) as connection:
                return self._connections.engine.check_health(connection)

        return wait(self._readers.submit(job_of(check)), math.inf, self._overtime)

    def close(self, patience: float = 0.3) -> None:
        """Prevent further commits, then close the connections within `patience` seconds. Idempotent.

        The exit of the process closes the connections that are still in use after that.
        """
        if self._runner.gate.closed:
            return
        self._runner.gate.close()
        if not self._connections.is_open:
            return
        closing = self._writer.submit(job_of(lambda: self._connections.close(patience / 2)), urgent=True)
        try:
            closing.result(patience)
        except TimeoutError:
            closing.cancel()
            self._connections.interrupt()

    @contextmanager
    def after_each_write(self, source: OverdueSource) -> Iterator[None]:
        """During the block, run the overdue work from `source` after each write, before other processes write."""
        self._runner.overdue.add(source)
        try:
            yield
        finally:
            self._runner.overdue.discard(source)

    @property
    def on_time(self) -> bool:
        """True if this process has not waited for the database lately, and so may reap the claims of others."""
        return self._runner.on_time

    def _look_up(self) -> Future[str | None]:
        """Find who keeps the jobs of this process waiting, in a thread that waits for no writer."""
        return self._watcher.submit(job_of(self._connections.lock_holder))

    def _interrupt(self) -> None:
        """Cancel what this process waits for: a commit waits without limit for a standby that does not answer."""
        self._watcher.submit(job_of(self._connections.interrupt))

    def _submit_write(self, job: WriteJob[T], patience: float, *, urgent: bool = False) -> Future[T]:
        self._refuse_fork()
        now = time.monotonic()
        work = QueuedWrite(job, now, now + patience, self._token_name)
        return self._writer.submit(partial(self._runner.write, work=work), urgent=urgent)

    def _submit_read(self, verb: Callable[[Transaction], T], patience: float) -> Future[T]:
        self._refuse_fork()
        deadline = time.monotonic() + patience
        return self._readers.submit(partial(self._runner.read, verb=verb, deadline=deadline))

    def _refuse_fork(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError("a database connection does not survive a fork: open the database in the child")

    def _undo(self, done: Future[T], job: WriteJob[T]) -> None:
        if not done.cancelled() and done.exception() is None and (undo := job.undo(done.result())):
            self._submit_write(VerbJob(undo), self._settings.patience, urgent=True)

    def _settle(self, done: Future[T], job: WriteJob[T]) -> None:
        if not done.cancelled() and isinstance(done.exception(), OutcomeUnknown) and (settle := job.settle()):
            self._submit_write(VerbJob(settle), self._settings.lease, urgent=True)


def _job(verb: WriteJob[T] | Callable[[Transaction], T]) -> WriteJob[T]:
    return verb if isinstance(verb, WriteJob) else VerbJob(verb)
