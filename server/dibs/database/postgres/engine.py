"""PostgreSQL through psycopg 3: the engine for several machines."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any, Final

import psycopg
import sqlalchemy
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from sqlalchemy import inspect, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from dibs.database.bootstrap import FIRST_TABLES, ready_project, schema_version, write_missing
from dibs.database.engine import Engine, Unreachable
from dibs.database.health import HealthCheck
from dibs.database.postgres import session
from dibs.database.postgres.errors import meaning, original
from dibs.database.postgres.lock_holders import holders_for
from dibs.database.project_row import Project, by_name, listed, project_of
from dibs.database.transaction import TransactionStart
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput
from dibs_schema.tables import projects

COPY_TIMEOUT: Final = "10min"
"""For one statement, and for a transaction that waits for the other database. A lost client's locks last as long."""

MIGRATION_LOCK: Final = 0x64696273
"""The advisory lock under which one process migrates ("dibs")."""
COPY_LOCK: Final = 0x64696274
"""The advisory lock of a copy from or to a database: two copies at a time could deadlock."""

_HAS_TABLES: Final = "SELECT every(to_regclass(name) IS NOT NULL) FROM unnest(%s::text[]) name"

_TIMED: Final = """
SELECT opened.*, extract(epoch FROM clock_timestamp())::float8 AS now,
    {horizon} AS horizon,
    extract(epoch FROM clock_timestamp()
        - greatest(pg_postmaster_start_time(), pg_last_xact_replay_timestamp()))::float8 AS up
FROM ({opened}) opened
"""
"""The clock is read outside the subquery, so after the row is locked.

A promoted standby started before it became the primary. Its last replayed commit shows when it became the primary.
"""

_timed_read: Final = partial(_TIMED.format, horizon=session.HORIZON)
_timed_write: Final = partial(_TIMED.format, horizon="pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
"""A write reads no events: a horizon that is too low is enough for it, and costs less."""

_ADVANCE: Final = """
WITH numbers AS (SELECT pg_get_serial_sequence('events', 'id')::regclass AS name)
SELECT count(nextval(name))
FROM numbers, generate_series(coalesce(pg_sequence_last_value(name), 0) + 1, %s)
"""


class Postgres(Engine):
    """One database of a PostgreSQL server."""

    clock = "server"  # the wall clock of the server

    def __init__(self, url: str, label: str, settings: Settings) -> None:
        self.label = label
        self.library = "PostgreSQL"
        self._settings = settings
        self._notifications = session.Notifications()
        self._clock_seen = (-math.inf, 0.0)
        self._engine = sqlalchemy.create_engine(
            "postgresql+psycopg://", creator=partial(session.connect, url), poolclass=NullPool, use_native_hstore=False
        )
        dialect = self._engine.dialect
        plain = by_name.compile(dialect=dialect)
        locked = by_name.with_for_update(key_share=True, of=projects).compile(dialect=dialect)
        self._write, self._write_locked = _timed_write(opened=plain), _timed_write(opened=locked)
        self._read, self._read_known = _timed_read(opened=plain), _timed_read(opened="SELECT")

    def bring_up(self, name: str) -> tuple[Connection, Project]:
        """Open a connection to the database, and prepare the database to serve the project of that name.

        Many processes may do this at the same time. Each reads first. Those that find something missing write it one
        after another under an advisory lock, and read again.
        Raises SchemaNewer, InvalidInput, NotApplied, ReadOnly.
        """
        connection = self.connect()
        try:
            with self.translated():
                project = self._ready_project(connection, name)
                if project is None:
                    self._write_missing(connection, name)
                    project = self._ready_project(connection, name)
                    assert project is not None, "this call has written it"
        except BaseException:
            connection.close()
            raise
        self.library = f"PostgreSQL {_driver(connection).info.server_version // 10_000}"
        self._notifications.channel = f"dibs_{project.id}"
        return connection, project

    def _ready_project(self, connection: Connection, name: str) -> Project | None:
        project = ready_project(connection, name, self.label) if _has_schema(connection) else None
        connection.rollback()
        return project

    def _write_missing(self, connection: Connection, name: str) -> None:
        connection.exec_driver_sql("BEGIN ISOLATION LEVEL READ COMMITTED")
        try:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
            connection.exec_driver_sql("SET LOCAL statement_timeout = '60s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            tables = set(inspect(connection).get_table_names())
            if tables & set(FIRST_TABLES) and not tables >= set(FIRST_TABLES):
                raise InvalidInput(
                    "The schema of this database holds tables of another program by the same names. Nothing was changed. "
                    "Give Dibs a database or a schema of its own (search_path in the URL's options).",
                    field="db",
                )
            # A query of a missing table would abort the transaction.
            version = schema_version(connection) if "alembic_version" in tables else None
            others = _project_names(connection) if version is not None and self._settings.guesses_project else []
            if others and name not in others:
                raise InvalidInput(
                    f"There is no project {name!r} at {self.label}, but there {listed(others)}. Nothing was changed. Name "
                    f"one with DIBS_PROJECT or --project; a name that is not there yet starts a project.",
                    field="project",
                )
            write_missing(connection, name, version)
            connection.exec_driver_sql("COMMIT")
        finally:
            connection.rollback()

    def project_names(self) -> list[str]:
        """Return the names of all projects, in any version of the schema. Writes nothing."""
        with self.connect(reading=True) as connection, self.translated():
            return _project_names(connection) if _has_schema(connection) else []

    def connect(self, *, reading: bool = False) -> Connection:
        """Open a connection for one thread; with `reading` it can never write."""
        with self.translated():
            connection = self._engine.connect()
            try:
                connection.info["own"] = session.set_up(_driver(connection), self._settings, reading=reading)
            except BaseException:
                connection.close()
                raise
            return connection

    def is_usable(self, connection: Connection) -> bool:
        """Return whether the connection is open, outside any transaction, and without a message from the server.

        An unrequested message is the server's last one, unless this connection listens for notifications.
        """
        if connection.closed or connection.invalidated:
            return False
        driver = _driver(connection)
        if driver.closed or driver.info.transaction_status is not TransactionStatus.IDLE:
            return False
        return driver is self._notifications.listener or session.is_silent(driver)

    def interrupt(self, connection: Connection) -> None:
        """Cancel the running statement: a server notices the loss of its client only at the statement's end.

        The request has 0.2 seconds to reach the server.
        """
        with suppress(psycopg.Error):
            _driver(connection).cancel_safe(timeout=0.2)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Hold no lock: connections may be closed at any time."""
        try:
            yield
        finally:
            self._engine.dispose()

    @contextmanager
    def write_transaction(
        self, connection: Connection, name: str, *, exclusive: bool, abandoned: Callable[[], bool]
    ) -> Iterator[TransactionStart | None]:
        """Hold a transaction at READ COMMITTED; an `exclusive` one begins by locking the project's row.

        The lock is FOR NO KEY UPDATE, in a separate statement: later statements read under the lock. The foreign key of
        an event, which locks the same row FOR KEY SHARE, does not wait for it.
        """
        load = self._write_locked if exclusive else self._write
        with self._transaction(connection, session.WRITING, load, name) as row:
            yield None if abandoned() else _start(row)

    @contextmanager
    def read_transaction(
        self, connection: Connection, name: str, known: Project | None = None
    ) -> Iterator[TransactionStart]:
        """Run all statements on one snapshot. They never wait for a writer."""
        load = self._read if known is None else self._read_known
        with self._transaction(connection, session.READING, load, name) as row:
            yield _start(row, known)

    def autocommit(self, connection: Connection, project: Project) -> AbstractContextManager[TransactionStart] | None:
        """Commit each statement by itself: its effect is on disk when it returns.

        Returns None if the server's clock was not read in the last 10 seconds, or behind a pooler.
        The context raises OutcomeUnknown if the connection is lost.
        """
        seen, now = self._clock_seen
        passed = time.monotonic() - seen
        if passed >= 10 or not connection.info["own"]:
            return None
        return self._autocommit(connection, TransactionStart(project, None, now + passed, now + passed))

    @contextmanager
    def _autocommit(self, connection: Connection, start: TransactionStart) -> Iterator[TransactionStart]:
        driver = _driver(connection)
        with self.translated(driver):
            try:
                with session.unless_lost(driver, self.label):
                    yield start
            finally:
                _end(connection, driver)

    @contextmanager
    def _transaction(self, connection: Connection, begin: str, load: str, name: str) -> Iterator[dict[str, Any] | None]:
        driver = _driver(connection)
        with self.translated(driver):
            try:
                with driver.pipeline(), driver.cursor(row_factory=dict_row) as cursor:
                    driver.execute(begin)
                    if not connection.info["own"]:
                        session.set_up_transaction(driver, self._settings)
                    row = cursor.execute(load, {"name": name}).fetchone()
                if row is not None:
                    self._clock_seen = (time.monotonic(), row["now"])
                yield row
            finally:
                _end(connection, driver)

    def commit(self, connection: Connection, *, wake: bool) -> None:
        """Commit; raises OutcomeUnknown if the connection is lost before the answer."""
        driver = _driver(connection)
        with session.unless_lost(driver, self.label), driver.pipeline():
            if wake:
                driver.execute("SELECT pg_notify(%s, '')", [self._notifications.channel])
            driver.execute("COMMIT")

    def lock_holder(self, connection: Connection, waiting: Sequence[Connection]) -> str | None:
        """Return the session that blocks one of our own; behind a pooler, none is known to be our own."""
        with suppress(psycopg.Error, SQLAlchemyError):  # a connection was lost or is being closed
            own = [_driver(one).info.backend_pid for one in waiting if one.info["own"]]
            return holders_for(_driver(connection), own)
        return None

    def lift_timeouts(self, connection: Connection, *, exclusive: bool = False, reading: bool = False) -> None:
        """Lift the transaction's timeouts; `exclusive` also locks the table of features against claims in one statement.

        Such claims lock no project. A statement that has waited for a table's lock reads the rows again, so it finds
        that the project has moved. Claims in other projects of the database wait, too.
        Source: https://www.postgresql.org/docs/current/explicit-locking.html (ROW EXCLUSIVE conflicts with it).
        """
        with self.translated():
            if not reading:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({COPY_LOCK})")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{COPY_TIMEOUT}'")
            connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = '{COPY_TIMEOUT}'")
            if exclusive:
                connection.exec_driver_sql("LOCK TABLE features IN SHARE ROW EXCLUSIVE MODE")

    def analyze(self, connection: Connection) -> None:
        """Update the planner's statistics: before autovacuum does, a slow plan may exceed every timeout."""
        with self.translated():
            connection.exec_driver_sql("ANALYZE features, dependencies, events")

    def continue_after(self, connection: Connection, last_event: int) -> None:
        """Advance the sequence of the events to `last_event`, and analyze the tables.

        nextval is called for each number, since setval could undo the calls of others after its argument was read.
        """
        with self.translated():
            connection.exec_driver_sql(_ADVANCE, (last_event,))
        self.analyze(connection)

    def work_version(self, connection: Connection) -> int:
        """Return the number of notifications of ready work; asks the server nothing after the first call."""
        driver = _driver(connection)
        with self.translated(driver):
            return self._notifications.count(driver, own=connection.info["own"])

    def event_version(self, connection: Connection) -> int:
        """Return the horizon below which events are complete: followers find new events only after it has changed."""
        driver = _driver(connection)
        with self.translated(driver):
            return self._notifications.horizon(driver)

    def check_health(self, connection: Connection) -> list[HealthCheck]:
        """Check the server, the schema and the settings that durability depends on."""
        from dibs.database.postgres.health import check_server

        with self.translated():
            return check_server(self.label, connection)

    @contextmanager
    def translated(self, driver: psycopg.Connection[Any] | None = None) -> Iterator[None]:
        """Turn the driver's errors into refusals, so that their text reaches no client.

        A connection to a server that takes no writes is closed: the next one may reach another server.
        """
        try:
            yield
        except (DBAPIError, psycopg.Error) as error:
            refusal = meaning(self.label, original(error))
            if refusal is None:
                raise
            if isinstance(refusal, Unreachable) and driver is not None:
                driver.close()
            raise refusal from error


def _has_schema(connection: Connection) -> bool:
    return bool(connection.exec_driver_sql(_HAS_TABLES, (FIRST_TABLES,)).scalar_one())


def _project_names(connection: Connection) -> list[str]:
    return list(connection.execute(select(projects.c.name).order_by(projects.c.name)).scalars())


def _start(row: dict[str, Any] | None, known: Project | None = None) -> TransactionStart:
    if row is None:
        return TransactionStart(None, None, 0.0, 0.0)
    project, schema = (project_of(row), row["schema_version"]) if known is None else (known, None)
    return TransactionStart(project, schema, row["now"], row["now"], row["horizon"], row["up"])


def _end(connection: Connection, driver: psycopg.Connection[Any]) -> None:
    with suppress(psycopg.Error):  # the loss of a connection ends its transaction
        if driver.info.transaction_status is not TransactionStatus.IDLE and not driver.closed:
            driver.rollback()
    if connection.in_transaction():  # SQLAlchemy's own record of the transaction, if it ran a statement
        with suppress(DBAPIError, psycopg.Error):
            connection.rollback()


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    """Return the driver's connection, which is in autocommit: transactions begin and end by statements."""
    driver: Any = connection.connection.dbapi_connection
    return driver  # type: ignore[no-any-return]  # SQLAlchemy's protocol says less
