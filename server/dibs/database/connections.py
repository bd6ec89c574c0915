"""The connections of one process to its database: one for each worker thread, opened at first need."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dibs.database.engine import DatabaseLocation, Engine, Unreachable
from dibs_schema.refusals import Busy, Refusal

if TYPE_CHECKING:  # a worker thread loads SQLAlchemy after the answer to `initialize`
    from sqlalchemy.engine import Connection

    from dibs.database.project_row import Project


@dataclass(frozen=True, slots=True)
class _ThreadConnection:
    connection: Connection
    in_use: threading.Lock = field(default_factory=threading.Lock)


class Connections:
    """Opens the database when the first worker needs it. If that fails, the next worker tries again.

    A lost connection is replaced when its thread needs one again. `lost_at` is when a connection was last found lost
    or could not be opened, as a reading of time.monotonic.
    """

    def __init__(self, location: DatabaseLocation, project: str) -> None:
        self._location = location
        self._name = project
        self._opening = threading.Lock()
        self._all: set[_ThreadConnection] = set()
        self._local = threading.local()
        self._engine: Engine | None = None
        self._project: Project | None = None
        self._closed = False
        self.lost_at = -math.inf

    @property
    def engine(self) -> Engine:
        """The engine of the open database."""
        assert self._engine is not None, "the first use of a connection opens the database"
        return self._engine

    @property
    def project(self) -> Project:
        """The project as the last transaction has read it."""
        assert self._project is not None, "the first use of a connection opens the database"
        return self._project

    @project.setter
    def project(self, project: Project) -> None:
        self._project = project

    @property
    def is_open(self) -> bool:
        """True once the database has been opened."""
        return self._engine is not None

    @property
    def is_opening(self) -> bool:
        """True while a worker waits for a connection."""
        return self._opening.locked()

    @contextmanager
    def use(self, *, reading: bool = False) -> Iterator[Connection]:
        """Hold this thread's connection, which stays open until the end of the block.

        Raises the refusal that says why the database cannot be opened, or Busy during shutdown.
        """
        own: _ThreadConnection | None = getattr(self._local, "own", None)
        if own is not None and not self._closed and not self.engine.is_usable(own.connection):
            self.lost_at = time.monotonic()
            self._all.discard(own)
            own.connection.invalidate()
            own.connection.close()
            own = None
        if own is None:
            self._local.own = None
            try:
                own = self._local.own = self._open_one(reading=reading)
            except Unreachable:
                self.lost_at = time.monotonic()
                raise
        with own.in_use:
            if self._closed:
                raise Busy("The server is shutting down. Nothing was changed.")
            yield own.connection

    def _open_one(self, *, reading: bool) -> _ThreadConnection:
        with self._opening:
            if self._engine is None:
                engine = self._location.make_engine()
                connection, self._project = engine.bring_up(self._name)
                self._engine = engine
                own = _ThreadConnection(connection)
                self._all.add(own)
                if not reading:
                    return own
            own = _ThreadConnection(self._engine.connect(reading=reading))
            self._all.add(own)
            return own

    def interrupt(self) -> None:
        """Cancel every statement that still runs or waits at the server; for the end of the process."""
        for own in tuple(self._all):  # a thread may be adding its own
            if own.in_use.locked():
                self.engine.interrupt(own.connection)

    def lock_holder(self) -> str | None:
        """Return who keeps the connections in use waiting, or None if that is unknown or cannot be found out."""
        if not self.is_open:
            return None
        with suppress(Refusal), self.use(reading=True) as connection:
            return self.engine.lock_holder(
                connection, [own.connection for own in tuple(self._all) if own.in_use.locked()]
            )
        return None

    def close(self, patience: float) -> None:
        """Close each connection that is free within `patience` seconds; the exit of the process closes the rest."""
        self._closed = True
        with self.engine.closing():
            for own in tuple(self._all):  # a thread may be adding its own
                if own.in_use.acquire(timeout=patience):
                    own.connection.close()
                    own.in_use.release()
