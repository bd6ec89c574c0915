"""The connections of one process to its database: one for each worker thread, opened at first need."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dibs.settings import Settings
from dibs_schema.refusals import Busy

if TYPE_CHECKING:  # SQLAlchemy is loaded in a worker, after `initialize` has been answered
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from dibs.database.sqlite import SQLite
    from dibs.database.transaction import Project


@dataclass(frozen=True, slots=True)
class _Own:
    """A thread's connection, and the lock that says that it is in use."""

    connection: Connection
    in_use: threading.Lock = field(default_factory=threading.Lock)


class Connections:
    """Opens the database when the first worker needs it; a failure to do so is that worker's, and tried again."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path = path
        self._settings = settings
        self._opening = threading.Lock()
        self._all: list[_Own] = []
        self._local = threading.local()
        self._engine: SQLite | None = None
        self._project: Project | None = None
        self._closed = False

    @property
    def engine(self) -> SQLite:
        """The engine, once the database is open."""
        assert self._engine is not None, "the database is opened by the first that uses a connection"
        return self._engine

    @property
    def project(self) -> Project:
        """The project as it was when the database was opened."""
        assert self._project is not None, "the database is opened by the first that uses a connection"
        return self._project

    @property
    def is_open(self) -> bool:
        """Whether the database was opened."""
        return self._engine is not None

    @contextmanager
    def use(self, *, reading: bool = False) -> Iterator[Connection]:
        """This thread's connection, which cannot be closed meanwhile.

        Raises why the database cannot be opened, and Busy where it is being closed.
        """
        own: _Own | None = getattr(self._local, "own", None)
        if own is None:
            own = self._local.own = self._open_one(reading=reading)
        with own.in_use:
            if self._closed:
                raise Busy("The server is shutting down. Nothing was changed.")
            yield own.connection

    def _open_one(self, *, reading: bool) -> _Own:
        with self._opening:
            if self._engine is None:
                own = _Own(self._bring_up())
                self._all.append(own)
                if not reading:
                    return own
            own = _Own(self.engine.connect(reading=reading))
            self._all.append(own)
            return own

    def _bring_up(self) -> Connection:
        from dibs.database.cold_start import bring_up, prepare_folder
        from dibs.database.sqlite import SQLite

        prepare_folder(self._path)
        engine = SQLite(self._path, self._settings.synchronous)
        connection = engine.connect()
        try:
            with engine.translated():
                self._project = bring_up(engine, connection, self._settings.project)
        finally:
            if self._project is None:
                with engine.leaving():
                    connection.close()
        self._engine = engine
        return connection

    def close(self, patience: float) -> None:
        """Close behind the door those that are free within `patience` seconds; the exit closes the rest."""
        self._closed = True
        with self.engine.leaving():
            for own in self._all:
                if own.in_use.acquire(timeout=patience):
                    own.connection.close()
                    own.in_use.release()
