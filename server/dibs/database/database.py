"""Running verbs on a database: writes in order through one worker, reads beside them."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.lowlevel

from dibs.database.engine import Engine, Place
from dibs.database.runner import Jobs, Upkeep, Write
from dibs.database.worker_threads import Workers, job, outcome, wait
from dibs.settings import Settings
from dibs_schema.refusals import OutcomeUnknown

if TYPE_CHECKING:  # SQLAlchemy is loaded in a worker, after `initialize` has been answered
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from dibs.database.health import Finding
    from dibs.database.transaction import Transaction

T = TypeVar("T")

ABANDONED_EXIT = 0.3
"""Seconds that closing waits for the door before it leaves the rest to the kernel."""


class Database:
    """One backlog's database, shared by the threads and tasks of this process.

    Writes go through one worker, in order; reads have workers of their own and never wait for a writer.
    A call that cannot begin within its patience is refused with Busy, and whatever it leaves in
    the queue gives the lock back without acting. A move is tried again only where nothing of it was applied.
    """

    def __init__(self, place: Place, settings: Settings) -> None:
        self._place = place
        self._settings = settings
        self._process = os.getpid()
        self._writer = Workers("dibs-writer", 1)
        self._readers = Workers("dibs-reader", place.readers)
        self._watcher = Workers("dibs-watcher", 1)
        self._jobs = Jobs(place, settings)
        self._connections = self._jobs.connections

    async def write(
        self,
        verb: Callable[[Transaction], T],
        *,
        patience: float | None = None,
        urgent: bool = False,
        door: bool = True,
        first: Upkeep | None = None,
        alone: Callable[[Transaction], T | None] | None = None,
        committed: Callable[[T], object] | None = None,
        undo: Callable[[T], Callable[[Transaction], object]] | None = None,
        in_doubt: Callable[[Transaction], object] | None = None,
    ) -> T:
        """Run `verb` in one write transaction and return its result once it is committed.

        `patience` is in seconds. Without `door` others may write to the project meanwhile, where the engine
        lets them. `first` is looked after just before, without the door and in a transaction of its own where
        any of it is due, unless this process is not `on_time`.
        `alone` is tried before the verb where single statements can commit by themselves; where it returns
        None, the verb is run. `committed` is told the result in the worker, before the next job. `undo` makes
        the transaction that takes back a result whose caller was cancelled while it was being committed;
        `in_doubt` is run where it stays unknown whether there is one, for as long as a lease.
        Raises what the verb raises, having rolled back, and Busy and the other Unavailable refusals.
        """
        patience = self._settings.patience if patience is None else patience
        work = _due(verb, patience, door=door, first=first, alone=alone, committed=committed)
        future = self._submit_write(work, urgent=urgent)
        if in_doubt is not None:
            future.add_done_callback(lambda done: self._settle(done, in_doubt))
        try:
            result = await outcome(future, patience, self._jobs.busy, self._interrupt)
            # A cancellation that came while the result was on its way is told to who waits next, and
            # that must be here: nobody will read the answer.
            await anyio.lowlevel.checkpoint_if_cancelled()
        except asyncio.CancelledError:
            if not future.cancel() and undo is not None:
                future.add_done_callback(lambda late: self._take_back(late, undo))
            raise
        return result

    async def read(self, verb: Callable[[Transaction], T], *, patience: float | None = None) -> T:
        """Run `verb` on a snapshot. Never waits for a writer. Raises what the verb raises, and Busy."""
        patience = self._settings.patience if patience is None else patience
        return await outcome(self._submit_read(verb, patience), patience, self._jobs.busy, self._interrupt)

    def write_now(
        self,
        verb: Callable[[Transaction], T],
        patience: float | None = None,
        *,
        first: Upkeep | None = None,
        alone: Callable[[Transaction], T | None] | None = None,
    ) -> T:
        """`write`, for callers without an event loop."""
        patience = self._settings.patience if patience is None else patience
        work = _due(verb, patience, first=first, alone=alone)
        return wait(self._submit_write(work), patience, self._jobs.busy, self._interrupt)

    def read_now(self, verb: Callable[[Transaction], T]) -> T:
        """`read`, for callers without an event loop."""
        patience = self._settings.patience
        return wait(self._submit_read(verb, patience), patience, self._jobs.busy, self._interrupt)

    async def warm_up(self) -> None:
        """Open the database, so that the first call finds it open. Raises why it cannot be opened."""

        def open_it() -> None:
            with self._connections.use():
                pass

        await asyncio.shield(asyncio.wrap_future(self._writer.submit(job(open_it))))

    async def version(self) -> int:
        """A number that changes when a commit of any process may have made work ready; takes no lock, reads no table.

        It belongs to one connection, so one worker of its own reads it.
        """
        return await self._watched(lambda engine, connection: engine.version(connection))

    async def news(self) -> int:
        """A number that changes when a commit of any process may have added to the journal; as cheap as `version`."""
        return await self._watched(lambda engine, connection: engine.news(connection))

    async def _watched(self, ask: Callable[[Engine, Connection], int]) -> int:
        def look() -> int:
            with self._connections.use(reading=True) as connection:
                return ask(self._connections.engine, connection)

        return await asyncio.wrap_future(self._watcher.submit(job(look)))

    @property
    def label(self) -> str:
        """Which database this is, in words for users."""
        return self._place.label

    @property
    def file(self) -> Path | None:
        """The file that it is in, if it is one."""
        return self._place.file

    def exists(self) -> bool:
        """Whether there is a backlog already, or opening it would make one."""
        return self._place.exists()

    @property
    def library(self) -> str:
        """Name and version of the database library."""
        return self._connections.engine.library

    def examine(self) -> list[Finding]:
        """What the engine, the file and its file system say of their health. Raises Unavailable."""

        def look() -> list[Finding]:
            with self._connections.use(reading=True) as connection:
                return self._connections.engine.examine(connection)

        return wait(self._readers.submit(job(look)), math.inf, self._jobs.busy, self._interrupt)

    def close(self, patience: float = ABANDONED_EXIT) -> None:
        """Admit no further commit, then close the connections, within `patience` seconds.

        Idempotent. Where the door is not to be had in time, the kernel closes what is left at exit.
        """
        if self._jobs.gate.closed:
            return
        self._jobs.gate.close()
        if not self._connections.is_open:
            return
        closing = self._writer.submit(job(lambda: self._connections.close(patience / 2)), urgent=True)
        try:
            closing.result(patience)
        except TimeoutError:
            closing.cancel()
            self._connections.interrupt()

    @property
    def on_time(self) -> bool:
        """Whether this process has not itself waited for the database lately, and so may judge others."""
        return self._jobs.on_time

    def _interrupt(self) -> None:
        """Let the server end what it waits for: a commit has no time limit there while its standby is away."""
        self._watcher.submit(job(self._connections.interrupt))

    # -- in the workers ---------------------------------------------------------------------------

    def _submit_write(self, work: Write[T], *, urgent: bool = False) -> Future[T]:
        self._refuse_fork()
        return self._writer.submit(partial(self._jobs.write, work=work), urgent=urgent)

    def _submit_read(self, verb: Callable[[Transaction], T], patience: float) -> Future[T]:
        self._refuse_fork()
        deadline = time.monotonic() + patience
        return self._readers.submit(partial(self._jobs.read, verb=verb, deadline=deadline))

    def _refuse_fork(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(
                "a database connection does not survive a fork: open the database in the child"
            )

    def _take_back(self, late: Future[T], undo: Callable[[T], Callable[[Transaction], object]]) -> None:
        if not late.cancelled() and late.exception() is None:
            self._submit_write(_due(undo(late.result()), self._settings.patience), urgent=True)

    def _settle(self, done: Future[T], in_doubt: Callable[[Transaction], object]) -> None:
        if not done.cancelled() and isinstance(done.exception(), OutcomeUnknown):
            self._submit_write(_due(in_doubt, self._settings.lease), urgent=True)


def _due(verb: Callable[[Transaction], T], patience: float, **more: Any) -> Write[T]:
    now = time.monotonic()
    return Write(verb, now, now + patience, **more)
