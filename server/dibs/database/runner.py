"""What a worker does: a verb in a transaction, tried again only where nothing of it was applied."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from dibs.database.connections import Connections
from dibs.database.engine import NotApplied, Place, Start, Unreachable
from dibs.database.worker_threads import Gate, begin, resolve
from dibs.database.write_job import WriteJob
from dibs.settings import Settings
from dibs_schema.refusals import Busy, OutcomeUnknown

if TYPE_CHECKING:  # SQLAlchemy is loaded in a worker, after `initialize` has been answered
    from sqlalchemy.engine import Connection

    from dibs.database.transaction import Transaction

T = TypeVar("T")

PAUSE = (0.02, 0.25)
"""Seconds between two tries."""


@dataclass(frozen=True, slots=True)
class Queued(Generic[T]):
    """A job in the queue of this process; `since` and `deadline` are readings of time.monotonic."""

    job: WriteJob[T]
    since: float
    deadline: float


class Jobs:
    """Runs verbs on the connections of one process, in whatever worker calls."""

    def __init__(self, place: Place, settings: Settings) -> None:
        self.connections = Connections(place, settings.project)
        self.gate = Gate()
        self._place = place
        self._settings = settings
        self._introduced = False
        self._held_up_at = -math.inf
        self._trouble: Unreachable | None = None

    @property
    def on_time(self) -> bool:
        """Whether this process has not itself waited for the database or lost it lately.

        One that has, for more than a third of a lease, must not judge others: their renewals
        waited in the same queue, and come first.
        """
        held_up_at = max(self._held_up_at, self.connections.lost_at)
        return time.monotonic() - held_up_at > self._settings.lease / 3

    def busy(self, patience: float) -> Busy:
        """Why a job did not begin within so many seconds."""
        if self._trouble is not None:
            return Busy(self._trouble.message)
        if self.connections.is_opening:
            return Busy(
                f"{self._place.label} did not answer within {patience:g} s. Nothing was changed. Call again in a moment."
            )
        return Busy(
            f"Other writers held the database for {patience:g} s. It is healthy, and nothing was changed. "
            "Call again in a moment."
        )

    def write(self, future: Future[T], work: Queued[T]) -> None:
        """Resolve `future` with what the verb returns or raises; not at all where it was cancelled before it began."""

        def done() -> T:
            try:
                result = self._persist(lambda: self._attempt(future, work), future, work.deadline)
            finally:
                self._note_delay(work)  # where others may write beside, what waits is a statement
            work.job.committed(result)
            return result

        resolve(future, done)

    def read(self, future: Future[T], verb: Callable[[Transaction], T], deadline: float) -> None:
        """Resolve `future` with what `verb` returns or raises on a snapshot."""

        def attempt() -> T:
            with (
                self.connections.use(reading=True) as connection,
                self.connections.engine.reading(connection, self._settings.project) as start,
            ):
                begin(future)
                return verb(self._transaction(connection, start, writing=False))

        resolve(future, lambda: self._persist(attempt, future, deadline))

    def _persist(self, attempt: Callable[[], T], future: Future[T], deadline: float) -> T:
        """Attempt again what was not applied, until its caller gives up or `deadline` (time.monotonic) would have passed.

        The caller is waiting then, and is told why, instead of that its time is over.
        """
        while not future.cancelled():
            trouble: NotApplied | None = None
            try:
                return attempt()
            except NotApplied as error:
                trouble, pause = error, random.uniform(*PAUSE)
                if time.monotonic() + pause > deadline:
                    raise
            finally:
                self._trouble = trouble if isinstance(trouble, Unreachable) else None
            time.sleep(pause)
        raise CancelledError

    def _attempt(self, future: Future[T], work: Queued[T]) -> T:
        job, upkeep = work.job, work.job.upkeep
        with self.connections.use() as connection:
            if upkeep is not None and self._finds(connection, upkeep.is_due):
                with self._writing(connection, future, work, door=False) as start:
                    if start is not None and self.on_time:
                        self._commit_upkeep(connection, start, upkeep.run)
            alone = job.autocommit()
            if alone is not None:
                result = self._alone(connection, future, alone)
                if result is not None:
                    return result
            with self._writing(connection, future, work, door=job.exclusive) as start:
                if start is None:
                    raise CancelledError
                begin(future)
                return self._commit(connection, start, job.run, door=job.exclusive)

    def _finds(self, connection: Connection, due: Callable[[Transaction], bool]) -> bool:
        with self.connections.engine.reading(connection, self._settings.project) as start:
            return due(self._transaction(connection, start, writing=False))

    def _commit_upkeep(
        self, connection: Connection, start: Start, verb: Callable[[Transaction], object]
    ) -> None:
        try:
            self._commit(connection, start, verb, door=False)
        except OutcomeUnknown as doubt:  # but not about the verb that comes next; upkeep may be repeated
            raise Unreachable(
                f"{self._place.label} failed before this call was begun. Nothing was changed. Call again in a moment."
            ) from doubt

    def _alone(
        self, connection: Connection, future: Future[T], verb: Callable[[Transaction], T | None]
    ) -> T | None:
        from dibs.database.transaction import Transaction

        project = self.connections.project
        committing = self.connections.engine.alone(connection, project)
        if committing is None or not self._introduced:
            return None
        transaction = None
        try:
            with self.gate as is_open, committing as start:
                if not is_open:
                    return None
                begin(future)
                transaction = Transaction(connection, project, self.connections.engine.clock, start)
                return verb(transaction)
        except NotApplied as error:
            if transaction is None or not transaction.applied:
                raise
            raise OutcomeUnknown(  # only what is told of it failed: never again from the beginning
                "The claim was made, but what belongs to its answer could not be read. It is given back: just claim again."
            ) from error

    @contextmanager
    def _writing(
        self, connection: Connection, future: Future[T], work: Queued[T], *, door: bool
    ) -> Iterator[Start | None]:
        engine = self.connections.engine
        with engine.writing(
            connection, self._settings.project, door=door, abandoned=future.cancelled
        ) as start:
            self._note_delay(work)
            yield start

    def _note_delay(self, work: Queued[T]) -> None:
        if time.monotonic() - work.since > self._settings.lease / 3:
            self._held_up_at = time.monotonic()

    def _commit(
        self, connection: Connection, start: Start, verb: Callable[[Transaction], T], *, door: bool
    ) -> T:
        transaction = self._transaction(connection, start, writing=True)
        if door and not self._introduced:  # without, two that come at once would both be the first
            self._introduce(transaction)
        result = verb(transaction)
        if transaction.grows:
            self.connections.engine.survey(connection)
        with self.gate as is_open:
            if not is_open:
                raise Busy("The server is shutting down. Nothing was changed.")
            self.connections.engine.commit(connection, wake=transaction.wakes)
        self._introduced |= door
        return result

    def _transaction(self, connection: Connection, start: Start, *, writing: bool) -> Transaction:
        from dibs.database.project import admit
        from dibs.database.transaction import Transaction

        engine = self.connections.engine
        project = admit(start, self.connections.project, self._place.label, writing=writing)
        self.connections.project = project
        return Transaction(connection, project, engine.clock, start)

    def _introduce(self, transaction: Transaction) -> None:
        from dibs.database.transaction import introduce

        introduce(transaction, self.connections.engine.library, f"{os.uname().nodename} pid {os.getpid()}")
