"""The connections of one process to its database: one for each worker thread, opened at first need."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dibs.database.engine import Engine, Place, Unreachable
from dibs_schema.refusals import Busy

if TYPE_CHECKING:  # SQLAlchemy is loaded in a worker, after `initialize` has been answered
    from sqlalchemy.engine import Connection

    from dibs.database.project import Project


@dataclass(frozen=True, slots=True)
class _Own:
    """A thread's connection, and the lock that says that it is in use."""

    connection: Connection
    in_use: threading.Lock = field(default_factory=threading.Lock)


class Connections:
    """Opens the database when the first worker needs it; a failure to do so is that worker's, and tried again.

    A connection that was lost is replaced when its thread needs one again.
    """

    def __init__(self, place: Place, project: str) -> None:
        self._place = place
        self._name = project
        self._opening = threading.Lock()
        self._all: set[_Own] = set()
        self._local = threading.local()
        self._engine: Engine | None = None
        self._project: Project | None = None
        self._closed = False
        self._lost_at = -math.inf

    @property
    def engine(self) -> Engine:
        """The engine, once the database is open."""
        assert self._engine is not None, "the database is opened by the first that uses a connection"
        return self._engine

    @property
    def project(self) -> Project:
        """The project as it was last seen."""
        assert self._project is not None, "the database is opened by the first that uses a connection"
        return self._project

    @project.setter
    def project(self, seen: Project) -> None:
        self._project = seen

    @property
    def is_open(self) -> bool:
        """Whether the database was opened."""
        return self._engine is not None

    @property
    def is_opening(self) -> bool:
        """Whether a worker waits for a connection right now."""
        return self._opening.locked()

    @property
    def lost_at(self) -> float:
        """When a connection was last found lost or not to be had, as a reading of time.monotonic."""
        return self._lost_at

    @contextmanager
    def use(self, *, reading: bool = False) -> Iterator[Connection]:
        """This thread's connection, which cannot be closed meanwhile.

        Raises why the database cannot be opened, and Busy where it is being closed.
        """
        own: _Own | None = getattr(self._local, "own", None)
        if own is not None and not self._closed and not self.engine.is_sound(own.connection):
            self._lost_at = time.monotonic()
            self._all.discard(own)
            own.connection.invalidate()
            own.connection.close()
            own = None
        if own is None:
            self._local.own = None
            try:
                own = self._local.own = self._open_one(reading=reading)
            except Unreachable:
                self._lost_at = time.monotonic()
                raise
        with own.in_use:
            if self._closed:
                raise Busy("The server is shutting down. Nothing was changed.")
            yield own.connection

    def _open_one(self, *, reading: bool) -> _Own:
        with self._opening:
            if self._engine is None:
                engine = self._place.make_engine()
                connection, self._project = engine.bring_up(self._name)
                self._engine = engine
                own = _Own(connection)
                self._all.add(own)
                if not reading:
                    return own
            own = _Own(self._engine.connect(reading=reading))
            self._all.add(own)
            return own

    def interrupt(self) -> None:
        """Let what still waits at the other end never act; for the end of the process."""
        for own in tuple(self._all):  # a thread may be adding its own
            if own.in_use.locked():
                self.engine.interrupt(own.connection)

    def close(self, patience: float) -> None:
        """Close behind the door those that are free within `patience` seconds; the exit closes the rest."""
        self._closed = True
        with self.engine.leaving():
            for own in tuple(self._all):  # a thread may be adding its own
                if own.in_use.acquire(timeout=patience):
                    own.connection.close()
                    own.in_use.release()
