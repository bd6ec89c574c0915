"""Bulk access: one thread reads or writes a whole project, outside the queues that serve agents."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Executable, Select, Table, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError, IntegrityError

from dibs.database import locate_database
from dibs.database.bootstrap import schema_version
from dibs.database.engine import Engine
from dibs.database.file_inspection import projects_in, refuse_path, refuse_unsafe, schema_in
from dibs.database.health import HealthCheck
from dibs.database.project_row import Project, listed, newer_schema
from dibs.database.transaction import Row, Transaction, TransactionStart, record_writer
from dibs.platform.processes import host_name
from dibs.settings import Settings
from dibs_schema.refusals import Busy, DatabaseReplaced, InvalidInput, NotFound
from dibs_schema.tables import HEAD, projects

BATCH = 1_000
"""Rows in memory at a time."""


class BulkTransaction(Transaction):
    """A transaction without a time limit: it locks its project exclusively, or reads a snapshot."""

    __slots__ = ("_engine",)

    def __init__(self, engine: Engine, connection: Connection, project: Project, start: TransactionStart) -> None:
        super().__init__(connection, project, engine.clock, start)
        self._engine = engine

    def stream(self, statement: Select[Any]) -> Iterator[list[dict[str, Any]]]:
        """Yield the rows in batches, so that a large project is never entirely in memory."""
        with self._engine.translated():
            found = self._execute(statement.execution_options(stream_results=True, max_row_buffer=BATCH), {})
            for part in found.mappings().partitions(BATCH):
                yield [dict(row) for row in part]

    def all(self, statement: Executable, **parameters: Any) -> Sequence[Row]:
        """Return every row."""
        with self._engine.translated():
            return super().all(statement, **parameters)

    def run(self, statement: Executable, **parameters: Any) -> int:
        """Return how many rows the statement changed."""
        with self._engine.translated():
            return super().run(statement, **parameters)

    def insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert many rows at once. Raises InvalidInput for a value that this database cannot hold."""
        try:
            with self._engine.translated():
                if rows:
                    self.connection.execute(insert(table), rows)
        except (DataError, IntegrityError) as error:
            raise InvalidInput(
                "The project has a value that the target database does not accept, or that breaks a rule of the schema. "
                "Nothing was changed in either database. `dibs doctor` on the source may name the value.",
                field="from",
            ) from error

    def settle(self, last_event: int) -> None:
        """Number new events after `last_event`, because events were inserted with explicit ids."""
        self._engine.continue_after(self.connection, last_event)

    def commit(self, *, introduced: bool = True) -> None:
        """Commit and end the transaction. With `introduced`, first record the writer's database library."""
        with self._engine.translated():
            if introduced:
                record_writer(self, self._engine.library, f"{host_name()} pid {os.getpid()}")
            self._engine.commit(self.connection, wake=True)
            self._engine.sync()


class BulkDatabase:
    """The database of one project, for bulk access.

    Construction opens and creates nothing, but raises InvalidInput or ReadOnly for a path that cannot be a database.
    """

    def __init__(self, settings: Settings) -> None:
        # A power cut must not undo a commit on which the other database relies.
        self._settings = settings.model_copy(update={"synchronous": "FULL"})
        self._place = locate_database(self._settings)
        if self._place.file is not None:
            refuse_path(self._place.file)
        self._engine: Engine | None = None
        self._connection: Connection | None = None

    @property
    def name(self) -> str:
        """The project's name."""
        return self._settings.project

    @property
    def label(self) -> str:
        """Where the database is, for users on any machine: an absolute path, or a URL without credentials."""
        return str(self.file or self._place.label)

    @property
    def file(self) -> Path | None:
        """The database's file, or None if it is on a server."""
        return self._place.file.resolve() if self._place.file else None

    def projects(self) -> dict[str, str]:
        """Return the generation of each project by its name; empty if there is no backlog. Creates nothing."""
        if self.file is not None and not self.file.exists():
            return {}
        return _inspect(self._place.make_engine())[1]

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Open the database for the duration of the block, and create the project if it does not exist."""
        self._engine = self._place.make_engine()
        self._connection, _ = self._engine.bring_up(self.name)
        try:
            yield
        finally:
            with self._engine.closing():
                self._connection.close()
            self._connection = None

    @contextmanager
    def writing(self, *, exclusive: bool = False) -> Iterator[BulkTransaction]:
        """Begin a write transaction; it is rolled back at the end of the block unless it was committed.

        `exclusive` also excludes writers that do not enter the writer queue.
        Raises Busy if it cannot begin within the settings' patience, and SchemaNewer.
        """
        engine, connection = self._opened()
        deadline = time.monotonic() + self._settings.patience
        with engine.write_transaction(
            connection, self.name, exclusive=True, abandoned=lambda: time.monotonic() > deadline
        ) as start:
            if start is None:
                raise Busy(f"Another program has locked {self.label}. Nothing was changed. Try again.")
            project = self._checked(start)
            engine.lift_timeouts(connection, exclusive=exclusive)
            yield BulkTransaction(engine, connection, project, start)

    @contextmanager
    def reading(self) -> Iterator[BulkTransaction]:
        """Begin a read of one snapshot, which blocks no writer. Raises SchemaNewer."""
        engine, connection = self._opened()
        with engine.read_transaction(connection, self.name) as start:
            project = self._checked(start)
            engine.lift_timeouts(connection, reading=True)
            yield BulkTransaction(engine, connection, project, start)

    def check_health(self) -> list[HealthCheck]:
        """Check the health of the database. Raises Unavailable."""
        engine, connection = self._opened()
        return engine.check_health(connection)

    def _opened(self) -> tuple[Engine, Connection]:
        assert self._engine is not None, "it was opened"
        assert self._connection is not None, "it was opened"
        return self._engine, self._connection

    def _checked(self, start: TransactionStart) -> Project:
        if start.project is None:
            raise DatabaseReplaced(f"{self.label} was replaced just now. Nothing was changed. Try again.")
        if start.schema != HEAD:
            raise newer_schema(self.label, start.schema)
        return start.project


def _inspect(engine: Engine) -> tuple[str | None, dict[str, str]]:
    """Return the schema's version (None without a backlog), and the generation of each project by its name."""
    with engine.translated():
        connection = engine.connect(reading=True)
        try:
            version = schema_version(connection)
            if version is None:
                return None, {}
            rows = connection.execute(select(projects.c.name, projects.c.generation))
            return version, {row.name: row.generation for row in rows}
        finally:
            with engine.closing():
                connection.close()


def inspect_schema(settings: Settings) -> str:
    """Return the schema's version of the settings' database, without creating, migrating or changing anything.

    Raises NotFound if it does not hold the settings' project, InvalidInput, UnsafeFilesystem and Unavailable.
    """
    database = BulkDatabase(settings)
    version: str | None = None
    names: Iterable[str] = ()
    if settings.is_server_url:
        version, names = _inspect(locate_database(settings).make_engine())
    else:
        path = settings.database_file()
        refuse_unsafe(path)
        if path.exists():
            names, version = projects_in(path), schema_in(path)
    refuse_unknown(database, names)
    assert version is not None, "it holds projects"
    return version


def refuse_unknown(source: BulkDatabase, there_are: Iterable[str]) -> None:
    """Raise NotFound, which names the existing projects, if the database's project is not one of them."""
    names = sorted(there_are)
    if not names:
        raise NotFound(
            f"There is no backlog at {source.label}. `dibs import FILE`, `dibs add`, `dibs plan` or an agent's "
            "`dibs serve` creates one; --db names another."
        )
    if source.name not in names:
        raise NotFound(
            f"There is no project {source.name!r} at {source.label}, but there {listed(names)}. Name one with --project or "
            "DIBS_PROJECT."
        )
