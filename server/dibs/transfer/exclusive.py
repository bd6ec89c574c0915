"""A database that a whole project is read from or written to: held by one thread, beside all queues of workers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Executable, Select, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError, IntegrityError

from dibs.database import locate_database
from dibs.database.bootstrap import schema_version
from dibs.database.engine import Engine
from dibs.database.health import HealthCheck
from dibs.database.project import Project, newer_schema
from dibs.database.transaction import Row, Transaction, TransactionStart, record_writer
from dibs.settings import Settings
from dibs_schema.refusals import Busy, DatabaseReplaced, InvalidInput
from dibs_schema.tables import HEAD, projects

BATCH = 1_000
"""Rows that are in memory at a time."""


class Sole(Transaction):
    """A transaction that takes as long as it takes: one that has its project to itself, or a snapshot."""

    __slots__ = ("_engine",)

    def __init__(
        self, engine: Engine, connection: Connection, project: Project, start: TransactionStart
    ) -> None:
        super().__init__(connection, project, engine.clock, start)
        self._engine = engine

    def stream(self, statement: Select[Any]) -> Iterator[list[dict[str, Any]]]:
        """The rows in batches, so that a large project is never in memory whole."""
        with self._engine.translated():
            found = self._execute(statement.execution_options(stream_results=True, max_row_buffer=BATCH), {})
            for part in found.mappings().partitions(BATCH):
                yield [dict(row) for row in part]

    def all(self, statement: Executable, **parameters: Any) -> Sequence[Row]:
        """Every row, fetched to the end."""
        with self._engine.translated():
            return super().all(statement, **parameters)

    def run(self, statement: Executable, **parameters: Any) -> int:
        """How many rows the statement changed."""
        with self._engine.translated():
            return super().run(statement, **parameters)

    def insert(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert many rows at once. Raises InvalidInput for what this database cannot hold."""
        try:
            with self._engine.translated():
                super().insert(statement, rows)
        except (DataError, IntegrityError) as error:
            raise InvalidInput(
                "The project holds a value that the database it is copied to does not take, or breaks one of the "
                "schema's rules. Nothing was changed on either side. `dibs doctor` on the source may name it.",
                field="from",
            ) from error

    def settle(self, last_event: int) -> None:
        """Make the database go on well after rows that were brought in."""
        self._engine.continue_after(self.connection, last_event)

    def commit(self, *, introduced: bool = True) -> None:
        """Commit, having noted which library has written, unless it shall leave no trace; the transaction is over."""
        with self._engine.translated():
            if introduced:
                record_writer(self, self._engine.library, f"{os.uname().nodename} pid {os.getpid()}")
            self._engine.commit(self.connection, wake=True)


class Site:
    """Where a project is read or written whole. Nothing is opened, or made, before it is asked for."""

    def __init__(self, settings: Settings) -> None:
        # A commit must not be undone by a power cut once the other side has built on it.
        self._settings = settings.model_copy(update={"synchronous": "FULL"})
        self._place = locate_database(self._settings)
        self._engine: Engine | None = None
        self._connection: Connection | None = None

    @property
    def name(self) -> str:
        """The project's name."""
        return self._settings.project

    @property
    def label(self) -> str:
        """Where the database is, for users on any machine: an absolute path, or a URL without credentials."""
        return str(self._place.file.resolve()) if self._place.file else self._place.label

    @property
    def file(self) -> Path | None:
        """The file that the database is in, if it is one."""
        return self._place.file.resolve() if self._place.file else None

    def projects(self) -> dict[str, str]:
        """The generation of each project by its name, none where there is no backlog yet. Makes nothing."""
        if self._place.file is not None and not self._place.file.exists():
            return {}
        engine = self._place.make_engine()
        connection = engine.connect(reading=True)
        try:
            with engine.translated():
                if schema_version(connection) is None:
                    return {}
                found = connection.execute(select(projects.c.name, projects.c.generation))
                return {row.name: row.generation for row in found}
        finally:
            with engine.closing():
                connection.close()

    def open(self) -> None:
        """Open the database; where there is no such project yet, an empty one comes into being."""
        self._engine = self._place.make_engine()
        self._connection, _ = self._engine.bring_up(self.name)

    @contextmanager
    def writing(self, *, exclusive: bool = False) -> Iterator[Sole]:
        """A write transaction, rolled back at the end where it was not committed; `exclusive` keeps everyone out.

        Raises Busy where it cannot begin within the settings' patience, and SchemaNewer.
        """
        engine, connection = self._opened()
        with engine.write_transaction(
            connection, self.name, exclusive=True, abandoned=self._patience()
        ) as start:
            if start is None:
                raise Busy(f"{self.label} was held by another program. Nothing was changed. Try again.")
            project = self._admitted(start)
            engine.lift_timeouts(connection, exclusive=exclusive)
            yield Sole(engine, connection, project, start)

    @contextmanager
    def reading(self) -> Iterator[Sole]:
        """A snapshot of everything, which is in nobody's way. Raises SchemaNewer."""
        engine, connection = self._opened()
        with engine.read_transaction(connection, self.name) as start:
            project = self._admitted(start)
            engine.lift_timeouts(connection, reading=True)
            yield Sole(engine, connection, project, start)

    def check_health(self) -> list[HealthCheck]:
        """Check the health of the database. Raises Unavailable."""
        engine, connection = self._opened()
        return engine.check_health(connection)

    def _opened(self) -> tuple[Engine, Connection]:
        assert self._engine is not None, "it was opened"
        assert self._connection is not None, "it was opened"
        return self._engine, self._connection

    def _admitted(self, start: TransactionStart) -> Project:
        if start.project is None:
            raise DatabaseReplaced(f"{self.label} was replaced just now. Nothing was changed. Try again.")
        if start.schema != HEAD:
            raise newer_schema(self.label, start.schema)
        return start.project

    def _patience(self) -> Callable[[], bool]:
        deadline = time.monotonic() + self._settings.patience
        return lambda: time.monotonic() > deadline

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Open it for as long as the block lasts."""
        try:
            self.open()
            yield
        finally:
            self.close()

    def close(self) -> None:
        """Close what was opened."""
        if self._engine is not None and self._connection is not None:
            with self._engine.closing():
                self._connection.close()
            self._connection = None
