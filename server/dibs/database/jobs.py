"""What a worker does: a verb in a transaction, tried again only where nothing of it was applied."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

from dibs.database.connections import Connections
from dibs.database.engine import NotApplied, Place, Start
from dibs.database.workers import Gate
from dibs.settings import Settings
from dibs_schema.refusals import Busy

if TYPE_CHECKING:  # SQLAlchemy is loaded in a worker, after `initialize` has been answered
    from sqlalchemy.engine import Connection

    from dibs.database.transaction import Transaction

T = TypeVar("T")

PAUSE = (0.02, 0.25)
"""Seconds between two tries."""


class Jobs:
    """Runs verbs on the connections of one process, in whatever worker calls."""

    def __init__(self, place: Place, settings: Settings) -> None:
        self.connections = Connections(place, settings.project)
        self.gate = Gate()
        self._place = place
        self._settings = settings
        self._introduced = False
        self._held_up_at = -math.inf

    @property
    def on_time(self) -> bool:
        """Whether this process has not itself waited for the database lately.

        One that has, for more than a third of a lease, must not judge others: their renewals
        waited in the same queue, and come first.
        """
        return time.monotonic() - self._held_up_at > self._settings.lease / 3

    def write(
        self,
        future: Future[T],
        verb: Callable[[Transaction], T],
        *,
        first: Callable[[Transaction], object] | None,
        committed: Callable[[T], object] | None,
        queued: float,
        patience: float,
    ) -> None:
        """Resolve `future` with what `verb` returns or raises; not at all where it was cancelled before it began."""

        def attempt() -> T:
            with self.connections.use() as connection:
                if first is not None:
                    with self._writing(connection, future) as start:
                        self._note_wait(queued)
                        if start is not None and self.on_time:
                            self._commit(connection, start, first)
                with self._writing(connection, future) as start:
                    if start is None or not _begun(future):
                        raise CancelledError
                    self._note_wait(queued)
                    return self._commit(connection, start, verb)

        try:
            result = _persist(attempt, future, queued + patience)
            if committed is not None:
                committed(result)
        except CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
            if _begun(future):
                future.set_exception(error)
        else:
            future.set_result(result)

    def read(self, future: Future[T], verb: Callable[[Transaction], T], *, queued: float) -> None:
        """Resolve `future` with what `verb` returns or raises on a snapshot."""

        def attempt() -> T:
            with (
                self.connections.use(reading=True) as connection,
                self.connections.engine.reading(connection, self._settings.project) as start,
            ):
                if not _begun(future):
                    raise CancelledError
                return verb(self._transaction(connection, start, writing=False))

        try:
            result = _persist(attempt, future, queued + self._settings.patience)
        except CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
            if _begun(future):
                future.set_exception(error)
        else:
            future.set_result(result)

    def _writing(self, connection: Connection, future: Future[T]) -> AbstractContextManager[Start | None]:
        return self.connections.engine.writing(
            connection, self._settings.project, door=True, abandoned=future.cancelled
        )

    def _commit(self, connection: Connection, start: Start, verb: Callable[[Transaction], T]) -> T:
        transaction = self._transaction(connection, start, writing=True)
        result = verb(transaction)
        with self.gate as is_open:
            if not is_open:
                raise Busy("The server is shutting down. Nothing was changed.")
            self.connections.engine.commit(connection, wake=transaction.wakes)
        self._introduced = True
        return result

    def _transaction(self, connection: Connection, start: Start, *, writing: bool) -> Transaction:
        from dibs.database.projects import admit
        from dibs.database.transaction import Transaction, introduce

        engine = self.connections.engine
        project = admit(start, self.connections.project, self._place.label, writing=writing)
        transaction = Transaction(connection, project, engine.clock, start)
        if writing and not self._introduced:
            introduce(transaction, engine.library, f"{os.uname().nodename} pid {os.getpid()}")
        return transaction

    def _note_wait(self, queued: float) -> None:
        now = time.monotonic()
        if now - queued > self._settings.lease / 3:
            self._held_up_at = now


def _begun(future: Future[T]) -> bool:
    """Whether the job has begun, or begins now; False where its caller has given it up before that."""
    return future.running() or future.set_running_or_notify_cancel()


def _persist(attempt: Callable[[], T], future: Future[T], deadline: float) -> T:
    """Attempt again what was not applied, until its caller gives up or `deadline` (time.monotonic) has passed."""
    while True:
        try:
            return attempt()
        except NotApplied:
            if future.cancelled() or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(*PAUSE))
