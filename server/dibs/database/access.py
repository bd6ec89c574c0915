"""Running verbs on a database: writes in order through one worker, reads beside them."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

import anyio.lowlevel

from dibs.database.clock import lease_clock
from dibs.database.connections import Connections
from dibs.database.workers import Gate, Workers, job, outcome, wait
from dibs.settings import Settings
from dibs_schema.refusals import Busy

if TYPE_CHECKING:  # SQLAlchemy is loaded in a worker, after `initialize` has been answered
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from dibs.database.health import Finding
    from dibs.database.transaction import Transaction

T = TypeVar("T")

READERS = 2
ABANDONED_EXIT = 0.3
"""Seconds that closing waits for the door before it leaves the rest to the kernel."""


class Database:
    """One backlog's database, shared by the threads and tasks of this process.

    Writes go through one worker, in order; reads have workers of their own and never wait for a writer.
    A call that cannot begin within its patience is refused with Busy, and whatever it leaves in
    the queue gives the lock back without acting. Only getting the lock is retried, never a move.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path = path
        self.clock = lease_clock()
        self.gate = Gate()
        self._settings = settings
        self._process = os.getpid()
        self._writer = Workers("dibs-writer", 1)
        self._readers = Workers("dibs-reader", READERS)
        self._watcher = Workers("dibs-watcher", 1)
        self._connections = Connections(path, settings)
        self._introduced = False
        self._held_up_at = -math.inf

    async def write(
        self,
        verb: Callable[[Transaction], T],
        *,
        patience: float | None = None,
        urgent: bool = False,
        first: Callable[[Transaction], object] | None = None,
        committed: Callable[[T], object] | None = None,
        undo: Callable[[T], Callable[[Transaction], object]] | None = None,
    ) -> T:
        """Run `verb` in one write transaction and return its result once it is committed.

        `patience` is in seconds. `first` is run just before, in a transaction of its own, unless this process
        is not `on_time`. `committed` is told the result in the worker, before the next job. `undo` makes
        the transaction that takes back a result whose caller was cancelled while it was being committed.
        Raises what the verb raises, having rolled back, and Busy and the other Unavailable refusals.
        """
        future = self._submit_write(verb, urgent=urgent, first=first, committed=committed)
        try:
            result = await outcome(future, self._settings.patience if patience is None else patience)
            # A cancellation that came while the result was on its way is told to who waits next, and
            # that must be here: nobody will read the answer.
            await anyio.lowlevel.checkpoint_if_cancelled()
        except asyncio.CancelledError:
            if not future.cancel() and undo is not None:
                future.add_done_callback(lambda late: self._take_back(late, undo))
            raise
        return result

    async def read(self, verb: Callable[[Transaction], T]) -> T:
        """Run `verb` on a snapshot. Never waits for a writer. Raises what the verb raises."""
        return await outcome(self._submit_read(verb), self._settings.patience)

    def write_now(self, verb: Callable[[Transaction], T], patience: float | None = None) -> T:
        """`write`, for callers without an event loop."""
        return wait(self._submit_write(verb), self._settings.patience if patience is None else patience)

    def read_now(self, verb: Callable[[Transaction], T]) -> T:
        """`read`, for callers without an event loop."""
        return wait(self._submit_read(verb), self._settings.patience)

    async def warm_up(self) -> None:
        """Open the database, so that the first call finds it open. Raises why it cannot be opened."""

        def open_it() -> None:
            with self._connections.use():
                pass

        await asyncio.shield(asyncio.wrap_future(self._writer.submit(job(open_it))))

    async def version(self) -> int:
        """A number that changes when any process commits; takes no lock and reads no table.

        It belongs to one connection, so one worker of its own reads it.
        """

        def look() -> int:
            with self._connections.use(reading=True) as connection:
                return self._connections.engine.data_version(connection)

        return await asyncio.wrap_future(self._watcher.submit(job(look)))

    @property
    def label(self) -> str:
        """Which database this is, in words for users."""
        return str(self.path)

    @property
    def library(self) -> str:
        """Name and version of the database library."""
        return self._connections.engine.library

    def examine(self) -> list[Finding]:
        """What the engine, the file and its file system say of their health. Raises Unavailable."""
        from dibs.database.health import examine

        def look() -> list[Finding]:
            with self._connections.use(reading=True) as connection:
                return examine(self._connections.engine, connection)

        return wait(self._readers.submit(job(look)), math.inf)

    def close(self, patience: float = ABANDONED_EXIT) -> None:
        """Admit no further commit, then close the connections, within `patience` seconds.

        Idempotent. Where the door is not to be had in time, the kernel closes what is left at exit.
        """
        if self.gate.closed:
            return
        self.gate.close()
        if not self._connections.is_open:
            return
        closing = self._writer.submit(job(lambda: self._connections.close(patience / 2)), urgent=True)
        try:
            closing.result(patience)
        except TimeoutError:
            closing.cancel()

    @property
    def on_time(self) -> bool:
        """Whether this process has not itself waited for the database lately.

        One that has, for more than a third of a lease, must not judge others: their renewals
        waited in the same queue, and come first.
        """
        return time.monotonic() - self._held_up_at > self._settings.lease / 3

    # -- in the workers ---------------------------------------------------------------------------

    def _submit_write(
        self,
        verb: Callable[[Transaction], T],
        *,
        urgent: bool = False,
        first: Callable[[Transaction], object] | None = None,
        committed: Callable[[T], object] | None = None,
    ) -> Future[T]:
        self._refuse_fork()
        queued = time.monotonic()
        return self._writer.submit(
            lambda future: self._write(future, verb, first, committed, queued), urgent=urgent
        )

    def _submit_read(self, verb: Callable[[Transaction], T]) -> Future[T]:
        self._refuse_fork()
        return self._readers.submit(lambda future: self._read(future, verb))

    def _write(
        self,
        future: Future[T],
        verb: Callable[[Transaction], T],
        first: Callable[[Transaction], object] | None,
        committed: Callable[[T], object] | None,
        queued: float,
    ) -> None:
        if future.cancelled():
            return
        try:
            with self._connections.use() as connection:
                engine = self._connections.engine
                if first is not None:
                    with engine.writing(connection, abandoned=future.cancelled) as locked:
                        self._note_wait(queued)
                        if locked and self.on_time:
                            self._commit(connection, first)
                with engine.writing(connection, abandoned=future.cancelled) as locked:
                    if not (locked and future.set_running_or_notify_cancel()):
                        return
                    self._note_wait(queued)
                    result = self._commit(connection, verb)
                if committed is not None:
                    committed(result)
        except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
            if future.running() or future.set_running_or_notify_cancel():
                future.set_exception(error)
        else:
            future.set_result(result)

    def _commit(self, connection: Connection, verb: Callable[[Transaction], T]) -> T:
        engine = self._connections.engine
        engine.check_identity()
        result = verb(self._transaction(connection, writing=True))
        with self.gate as is_open:
            if not is_open:
                raise Busy("The server is shutting down. Nothing was changed.")
            engine.commit(connection)
        self._introduced = True
        return result

    def _read(self, future: Future[T], verb: Callable[[Transaction], T]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            with (
                self._connections.use(reading=True) as connection,
                self._connections.engine.reading(connection),
            ):
                result = verb(self._transaction(connection, writing=False))
        except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
            future.set_exception(error)
        else:
            future.set_result(result)

    def _transaction(self, connection: Connection, *, writing: bool) -> Transaction:
        from dibs.database.transaction import Transaction, introduce, load_project

        opened = self._connections.project
        project = load_project(connection, opened.name, opened.generation, writing=writing)
        transaction = Transaction(connection, project, self.clock, time.time())
        if writing and not self._introduced:
            introduce(transaction, self.library, f"{os.uname().nodename} pid {self._process}")
        return transaction

    def _note_wait(self, queued: float) -> None:
        now = time.monotonic()
        if now - queued > self._settings.lease / 3:
            self._held_up_at = now

    def _refuse_fork(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(
                "a database connection does not survive a fork: open the database in the child"
            )

    def _take_back(self, late: Future[T], undo: Callable[[T], Callable[[Transaction], object]]) -> None:
        if not late.cancelled() and late.exception() is None:
            self._submit_write(undo(late.result()), urgent=True)
