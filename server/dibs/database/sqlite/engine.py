"""SQLite in WAL mode: the embedded engine, and every quirk of it."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dibs.database.clock import WallClock, lease_clock
from dibs.database.engine import Engine, Start
from dibs.database.health import Finding
from dibs.database.project import Project, find_project
from dibs.database.sqlite.bootstrap import bring_up
from dibs.database.sqlite.driver import NAME, driver
from dibs.database.sqlite.errors import doubt, meaning, unwritable
from dibs.database.sqlite.file_identity import File, file_at
from dibs.database.sqlite.filesystems import refuse_unsafe
from dibs.database.sqlite.health import examine
from dibs.database.sqlite.wal import LIMIT, Log
from dibs.database.sqlite.writer_queue import Door
from dibs_schema.refusals import Busy, DatabaseReplaced, ReadOnly

BUSY_TIMEOUT = 5_000
"""Milliseconds; only a second net behind the door, for writers that do not know it."""


class SQLite(Engine):
    """One database file: connections to it, write transactions on it, and what its errors mean."""

    def __init__(self, path: Path, synchronous: str, *, looking: bool = False) -> None:
        refuse_unsafe(path)
        self.looking = looking
        self.path = path.resolve()
        self.driver = driver()
        self.library = f"{NAME} {self.driver.sqlite_version}"
        self._clock, self._wall = lease_clock(), WallClock()
        self.clock = self._clock.domain
        self.door = Door(Path(f"{self.path}.lock"))
        self._synchronous = synchronous
        self._paths = (os.fsencode(self.path), os.fsencode(f"{self.path}-wal"))
        self._log = Log(self._paths[1], self.door, self.driver, BUSY_TIMEOUT)
        self._identity: tuple[File, ...] | None = None
        self._engine = sqlalchemy.create_engine(
            "sqlite://", module=self.driver, creator=self._connect, poolclass=NullPool
        )

    def bring_up(self, name: str) -> tuple[Connection, Project]:
        """A connection to the file, which is made ready to serve the project of that name."""
        connection = self.connect()
        project = None
        try:
            with self.translated():
                project = bring_up(self, connection, name)
        finally:
            if project is None:
                with self.leaving():
                    connection.close()
        return connection, project

    def is_sound(self, connection: Connection) -> bool:
        """Always: a connection to a file is not lost."""
        return not connection.closed

    def connect(self, *, reading: bool = False) -> Connection:
        """A connection for one thread. One for reading can never write."""
        with self.translated():
            connection = self._engine.connect()
            if reading:
                connection.exec_driver_sql("PRAGMA query_only = ON")
                connection.commit()
            return connection

    def _connect(self) -> object:
        mode = "rwc" if self._identity is None else "rw"  # never a new file beside the one being served
        if self.looking:  # closing it takes no log into the file, however damaged either is
            mode = "ro&immutable=1" if self._stands_still() else "ro"
        connection = self.driver.connect(
            f"{self.path.as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT}",
            f"synchronous = {self._synchronous}",
            "foreign_keys = ON",
            "trusted_schema = OFF",
            "wal_autocheckpoint = 1000",
            f"journal_size_limit = {LIMIT}",
            "mmap_size = 0",
            "fullfsync = ON",
            "checkpoint_fullfsync = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _stands_still(self) -> bool:
        """Whether nobody can write to it: on a medium that cannot be written, and without a log."""
        return not os.access(self.path.parent, os.W_OK) and not Path(f"{self.path}-wal").exists()

    @contextmanager
    def writing(
        self,
        connection: Connection,
        name: str,
        *,
        door: bool = True,  # noqa: ARG002 - there is one writer at a time, whatever it does
        abandoned: Callable[[], bool] = lambda: False,
    ) -> Iterator[Start | None]:
        """Hold the write lock: behind the door, between BEGIN IMMEDIATE and ROLLBACK."""
        self.enter_door()
        try:
            if not self._begin(connection, abandoned):
                yield None
                return
            try:
                with self.translated():
                    self.check_identity()
                    yield self._start(connection, name)
            finally:
                self._end(connection)
            self._log.keep_short(_driver_connection(connection))
        finally:
            self.door.leave()

    def _start(self, connection: Connection, name: str) -> Start:
        found, (now, even) = find_project(connection, name), self._wall.read()
        return Start(*found, now=now, reading=self._clock.read(), even=even)

    def enter_door(self) -> None:
        """Wait at the door. Raises ReadOnly where it cannot be opened."""
        try:
            self.door.enter()
        except OSError as error:
            raise unwritable(self.path, error.strerror or str(error)) from error

    def _begin(self, connection: Connection, abandoned: Callable[[], bool]) -> bool:
        while not abandoned():
            try:
                with self.translated():
                    _driver_connection(connection).execute("BEGIN IMMEDIATE")
            except Busy:
                time.sleep(random.uniform(0.001, 0.010))  # a foreign writer has it, and knows no queue
            else:
                return True
        return False

    @contextmanager
    def reading(self, connection: Connection, name: str) -> Iterator[Start]:
        """A snapshot: plain deferred BEGIN, which never takes the write lock."""
        with self.translated():
            _driver_connection(connection).execute("BEGIN")
            try:
                yield self._start(connection, name)
            finally:
                self._end(connection)

    def commit(self, connection: Connection, *, wake: bool) -> None:  # noqa: ARG002 - every commit wakes
        """Commit, on disk as far as `synchronous` promises. Raises OutcomeUnknown where the disk failed at it."""
        try:
            _driver_connection(connection).commit()
        except self.driver.Error as error:
            unknown = doubt(self.path, error)
            if unknown is None:
                raise
            raise unknown from error

    def _end(self, connection: Connection) -> None:
        driver = _driver_connection(connection)
        if driver.in_transaction:
            driver.rollback()
        if connection.in_transaction():  # what SQLAlchemy keeps of it, where it ran a statement
            connection.rollback()

    def remember_identity(self) -> None:
        """Note which files these are, once connections hold them open."""
        self._identity = self._files()

    def check_identity(self) -> None:
        """Raise DatabaseReplaced where the path leads to other files than those held open."""
        if self._identity is not None and self._files() != self._identity:
            raise DatabaseReplaced(
                f"{self.path} was deleted or replaced while this server ran. Nothing was written, neither "
                "to the old file nor to the new. Restart the server to serve what is there now."
            )

    def _files(self) -> tuple[File, ...]:
        try:
            return tuple(map(file_at, self._paths))
        except FileNotFoundError:
            return ()

    def journal_mode(self, connection: Connection) -> str:
        """The journal mode in force."""
        with self.translated():
            mode = str(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one())
            connection.rollback()
            return mode

    def enter_wal(self, connection: Connection) -> None:
        """Switch to write-ahead logging, and trust only the mode that comes back."""
        with self.translated():
            mode = connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar_one()
            connection.rollback()
        if mode != "wal":
            raise ReadOnly(f"{self.path} cannot use a write-ahead log (its journal mode stays {mode!r}).")

    def version(self, connection: Connection) -> int:
        """A number that changes when another connection commits. Reads no table and takes no lock."""
        with self.translated():
            version = connection.exec_driver_sql("PRAGMA data_version").scalar_one()
            connection.rollback()
            return int(version)

    def examine(self, connection: Connection) -> list[Finding]:
        """Check the file, its file system, the library, the log and every page."""
        return examine(self, connection)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the library's errors into refusals; none of its words reach a client."""
        try:
            yield
        except (DBAPIError, self.driver.Error, UnicodeDecodeError, JSONDecodeError) as error:
            self.check_identity()  # whatever went wrong, other files at the path are the reason
            refusal = meaning(self.path, (error.orig or error) if isinstance(error, DBAPIError) else error)
            if refusal is None:
                raise
            raise refusal from error

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Close connections behind the door: the last one out checkpoints. Nothing is opened afterwards."""
        if not self.looking:
            self.enter_door()
        try:
            yield
        finally:
            self.door.leave()
            self.door.close()
            self._engine.dispose()


def _driver_connection(connection: Connection) -> Any:
    """The driver's own connection: transactions begin and end on it, at a tenth of the cost."""
    return connection.connection.dbapi_connection
