"""Run jobs in the worker threads: each in a transaction, repeated only if nothing of it was applied."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from dibs.database.connections import Connections
from dibs.database.engine import DatabaseLocation, NotApplied, Unreachable
from dibs.database.worker_threads import CommitGate, begin, resolve
from dibs.database.write_job import SnapshotNeeded, Upkeep, WriteJob
from dibs.platform.processes import host_name
from dibs.settings import Settings
from dibs_schema.refusals import Busy, OutcomeUnknown, Refusal, Unavailable

if TYPE_CHECKING:  # a worker thread loads SQLAlchemy after the answer to `initialize`
    from sqlalchemy.engine import Connection

    from dibs.database.transaction import Transaction, TransactionStart

AGAIN = "Call again in a moment."

T = TypeVar("T")
OverdueSource = Callable[[], "Callable[[Transaction], object] | None"]
"""Returns a verb that should have run by now, or None. The writer thread calls it."""


@dataclass(frozen=True, slots=True)
class QueuedWrite(Generic[T]):
    """A job in the queue of this process; `since` and `deadline` are readings of time.monotonic."""

    job: WriteJob[T]
    since: float
    deadline: float
    token_name: str | None = None  # of the access token by which its caller came


class JobRunner:
    """Runs jobs on the connections of one process, in the thread that calls it."""

    def __init__(self, location: DatabaseLocation, settings: Settings) -> None:
        self.connections = Connections(location, settings.project)
        self.gate = CommitGate()
        self.overdue: set[OverdueSource] = set()
        self._location = location
        self._settings = settings
        self._is_recorded = False
        self._held_up_at = -math.inf
        self._writing_since: float | None = None
        self._trouble: Unreachable | None = None

    @property
    def on_time(self) -> bool:
        """True if this process has neither waited for the database nor lost it during the last third of a lease.

        Otherwise it must not reap claims: the renewals of their holders waited in the same queue, and come first.
        """
        return time.monotonic() - max(self._held_up_at, self.connections.lost_at) > self._settings.lease / 3

    def busy(self, patience: float, holder: str | None) -> Busy:
        """Return the refusal of a job that did not begin within `patience` seconds; `holder` kept it waiting, if known."""
        if self._trouble is not None:
            return Busy(self._trouble.message)
        if holder is None and self.connections.is_opening:
            return Busy(f"{self._location.label} did not answer within {patience:g} s. Nothing was changed. {AGAIN}")
        who = f"Other writers held the database for {patience:g} s{f', now {holder}' if holder else ''}."
        since = self._writing_since
        if holder is None and since is not None:
            holder = f"pid {os.getpid()} (this server)"
            who = f"An earlier call to this server, {holder}, has been writing for {time.monotonic() - since:.1f} s."
        return Busy(f"{who} The database is healthy, and nothing was changed. {AGAIN}", holder=holder)

    def write(self, future: Future[T], work: QueuedWrite[T]) -> None:
        """Resolve `future` with what the job returns or raises, unless it was cancelled before the job began."""

        def run() -> T:
            try:
                result = self._repeat(lambda: self._attempt(future, work), future, work.deadline)
                self.connections.engine.sync()
            finally:
                self._note_delay(work)  # a write may also have waited in its statement, or for the disk
            work.job.committed(result)
            return result

        resolve(future, run)

    def read(self, future: Future[T], verb: Callable[[Transaction], T], deadline: float) -> None:
        """Resolve `future` with what `verb` returns or raises on a snapshot."""

        def attempt() -> T:
            with (
                self.connections.use(reading=True) as connection,
                self.connections.engine.read_transaction(connection, self._settings.project) as start,
            ):
                begin(future)
                return verb(self._transaction(connection, start, writing=False))

        resolve(future, lambda: self._repeat(attempt, future, deadline))

    def _repeat(self, attempt: Callable[[], T], future: Future[T], deadline: float) -> T:
        """Repeat an attempt that was not applied, until its caller cancels or `deadline` (time.monotonic) is near.

        The caller still waits at that time, so it receives the reason instead of a timeout.
        """
        while not future.cancelled():
            trouble: NotApplied | None = None
            try:
                return attempt()
            except NotApplied as error:
                trouble, pause = error, random.uniform(0.02, 0.25)
                if time.monotonic() + pause > deadline:
                    raise
            finally:
                self._trouble = trouble if isinstance(trouble, Unreachable) else None
            time.sleep(pause)
        raise CancelledError

    def _attempt(self, future: Future[T], work: QueuedWrite[T]) -> T:
        job = work.job
        with self.connections.use() as connection:
            if job.upkeep is not None:
                self._keep_up(connection, future, work, job.upkeep)
            statement = job.autocommit()
            if statement is not None:
                result = self._autocommit(connection, future, statement, work.token_name)
                if result is not None:
                    return result
            snapshot: object = None

            def run(tx: Transaction) -> T:
                tx.snapshot = snapshot
                return job.run(tx)

            while True:
                try:
                    with self._writing(connection, future, work, exclusive=job.exclusive) as start:
                        if start is None:
                            raise CancelledError
                        begin(future)
                        return self._commit(connection, start, run, exclusive=job.exclusive, token_name=work.token_name)
                except SnapshotNeeded as needed:
                    snapshot = self._read_before(connection, needed.read)

    def _read_before(self, connection: Connection, read: Callable[[Transaction], T]) -> T:
        """Read on a snapshot before a write transaction, which reads and checks the project's row again."""
        engine, project = self.connections.engine, self.connections.project
        with engine.read_transaction(connection, project.name, known=project) as start:
            return read(self._transaction(connection, start, writing=False))

    def _keep_up(self, connection: Connection, future: Future[T], work: QueuedWrite[T], upkeep: Upkeep) -> None:
        """Run the upkeep in a separate write transaction, if a read finds it due."""
        if not self._read_before(connection, upkeep.is_due):
            return
        self.connections.engine.sync()  # a disk that stalls holds up the renewals of holders too
        self._note_delay(work)
        with self._writing(connection, future, work, exclusive=False) as writing:
            if writing is None or not self.on_time:
                return
            try:
                self._commit(connection, writing, upkeep.run, exclusive=False)
            except OutcomeUnknown as unknown:  # the job has not begun, and upkeep may be repeated
                failed = f"{self._location.label} failed before this call began. Nothing was changed. {AGAIN}"
                raise Unreachable(failed) from unknown

    def _autocommit(
        self, connection: Connection, future: Future[T], statement: Callable[[Transaction], T | None], name: str | None
    ) -> T | None:
        from dibs.database.transaction import Transaction

        project = self.connections.project
        committing = self.connections.engine.autocommit(connection, project)
        if committing is None or not self._is_recorded:
            return None
        transaction = None
        try:
            with self.gate as is_open, committing as start:
                if not is_open:
                    return None
                begin(future)
                transaction = Transaction(connection, project, self.connections.engine.clock, start, name)
                return statement(transaction)
        except NotApplied as error:
            if transaction is None or not transaction.applied:
                raise
            raise OutcomeUnknown(  # the claim is committed and must not be repeated; only the read after it failed
                "The claim was made, but reading its answer failed. The server releases the claim: claim again."
            ) from error

    @contextmanager
    def _writing(
        self, connection: Connection, future: Future[T], work: QueuedWrite[T], *, exclusive: bool
    ) -> Iterator[TransactionStart | None]:
        engine, name = self.connections.engine, self._settings.project
        with engine.turn():
            try:
                with engine.write_transaction(
                    connection, name, exclusive=exclusive, abandoned=future.cancelled
                ) as start:
                    self._note_delay(work)
                    self._writing_since = time.monotonic()
                    yield start
            except Unavailable:
                raise
            except BaseException:
                self._run_overdue(connection)
                raise
            else:
                self._run_overdue(connection)
            finally:
                self._writing_since = None

    def _run_overdue(self, connection: Connection) -> None:
        """Run what is overdue while this process still has its turn, also if its job was abandoned meanwhile."""
        verbs = [verb for source in tuple(self.overdue) if (verb := source()) is not None]
        if not verbs:
            return
        engine, closed = self.connections.engine, lambda: self.gate.closed
        with (
            suppress(Refusal),  # the source tries again, and reports why that fails
            engine.write_transaction(connection, self._settings.project, exclusive=False, abandoned=closed) as start,
        ):
            if start is not None:
                self._commit(connection, start, lambda tx: [verb(tx) for verb in verbs], exclusive=False)

    def _note_delay(self, work: QueuedWrite[T]) -> None:
        if time.monotonic() - work.since > self._settings.lease / 3:
            self._held_up_at = time.monotonic()

    def _commit(
        self,
        connection: Connection,
        start: TransactionStart,
        verb: Callable[[Transaction], T],
        *,
        exclusive: bool,
        token_name: str | None = None,
    ) -> T:
        transaction = self._transaction(connection, start, writing=True, token_name=token_name)
        if exclusive and not self._is_recorded:  # two writes that are not exclusive could both insert the row
            from dibs.database.transaction import record_writer

            record_writer(transaction, self.connections.engine.library, f"{host_name()} pid {os.getpid()}")
        result = verb(transaction)
        if transaction.grows:
            self.connections.engine.analyze(connection)
        with self.gate as is_open:
            if not is_open:
                raise Busy("The server is shutting down. Nothing was changed.")
            self.connections.engine.commit(connection, wake=transaction.wakes)
        self._is_recorded |= exclusive
        return result

    def _transaction(
        self, connection: Connection, start: TransactionStart, *, writing: bool, token_name: str | None = None
    ) -> Transaction:
        from dibs.database.project_row import check_project
        from dibs.database.transaction import Transaction

        known, label = self.connections, self._location.label
        known.project = project = check_project(start.project, start.schema, known.project, label, writing=writing)
        return Transaction(connection, project, known.engine.clock, start, token_name)
