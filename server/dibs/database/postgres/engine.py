"""PostgreSQL through psycopg 3: the engine for several machines, and every quirk of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final

import psycopg
import sqlalchemy
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dibs.database.engine import Start, Unreachable
from dibs.database.health import Finding
from dibs.database.postgres.commit_outcome import committing
from dibs.database.postgres.copying import Copying
from dibs.database.postgres.errors import meaning, original
from dibs.database.postgres.notify import Notices
from dibs.database.postgres.session import READING, WRITING, connect, is_silent, set_up, set_up_transaction
from dibs.database.project import Project, by_name, project_of
from dibs.settings import Settings
from dibs_schema.tables import projects

CLOCK: Final = "server"
"""The domain of the lease clock: one server's wall clock, whichever machine asks."""

INTERRUPT: Final = 0.2
"""Seconds for telling the server to cancel a statement."""

CLOCK_KEPT: Final = 10.0
"""Seconds for which the server's clock is reckoned on from the last look at it."""

_TIMED: Final = """
SELECT opened.*, extract(epoch FROM clock_timestamp())::float8 AS now,
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon,
    extract(epoch FROM clock_timestamp()
        - greatest(pg_postmaster_start_time(), pg_last_xact_replay_timestamp()))::float8 AS up
FROM ({}) opened
"""
"""Outside the subquery, so that the clock is read once the row's lock was had.

A standby that was promoted has been up for longer than it serves: the last commit that it replayed is a
sign of when that began.
"""


class Postgres(Copying):
    """One database of a PostgreSQL server."""

    clock = CLOCK

    def __init__(self, url: str, label: str, settings: Settings) -> None:
        self.label = label
        self.library = "PostgreSQL"
        self._url = url
        self._settings = settings
        self._notices = Notices()
        self._clock_seen = (-math.inf, 0.0)
        self._engine = sqlalchemy.create_engine(
            "postgresql+psycopg://", creator=self._connect, poolclass=NullPool, use_native_hstore=False
        )
        dialect = self._engine.dialect
        self._plain = _TIMED.format(by_name.compile(dialect=dialect))
        self._locked = _TIMED.format(
            by_name.with_for_update(key_share=True, of=projects).compile(dialect=dialect)
        )

    # -- connections ------------------------------------------------------------------------------

    def bring_up(self, name: str) -> tuple[Connection, Project]:
        """A connection to the database, which is made ready to serve the project of that name."""
        from dibs.database.postgres.bootstrap import bring_up

        connection = self.connect()
        try:
            with self.translated():
                project = bring_up(self, connection, name)
        except BaseException:
            connection.close()
            raise
        self.library = f"PostgreSQL {_driver(connection).info.server_version // 10_000}"
        self._notices.channel = f"dibs_{project.id}"
        return connection, project

    def connect(self, *, reading: bool = False) -> Connection:
        """A connection for one thread. One for reading can never write."""
        with self.translated():
            connection = self._engine.connect()
            try:
                connection.info["own"] = set_up(_driver(connection), self._settings, reading=reading)
            except BaseException:
                connection.close()
                raise
            return connection

    def _connect(self) -> psycopg.Connection[Any]:
        return connect(self._url)

    def is_sound(self, connection: Connection) -> bool:
        """Whether the connection is open, outside any transaction, and as far as is known not at its end.

        What comes unasked is a server's last word, unless notices were asked for.
        """
        if connection.closed or connection.invalidated:
            return False
        driver = _driver(connection)
        if driver.closed or driver.info.transaction_status is not TransactionStatus.IDLE:
            return False
        return driver is self._notices.listens or is_silent(driver)

    def interrupt(self, connection: Connection) -> None:
        """Cancel the statement that runs: a server notices only at its end that its client has gone."""
        with suppress(psycopg.Error):
            _driver(connection).cancel_safe(timeout=INTERRUPT)

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Connections may be closed at any time."""
        try:
            yield
        finally:
            self._engine.dispose()

    # -- transactions -----------------------------------------------------------------------------

    @contextmanager
    def writing(
        self,
        connection: Connection,
        name: str,
        *,
        door: bool = True,
        abandoned: Callable[[], bool] = lambda: False,
    ) -> Iterator[Start | None]:
        """A transaction at READ COMMITTED; with `door` it begins by locking the project's row.

        The lock is FOR NO KEY UPDATE, in a statement of its own: what is read after it, is read under
        it, and the foreign key of an event, which locks the same row FOR KEY SHARE, is not in its way.
        """
        with self._transaction(connection, WRITING, self._locked if door else self._plain, name) as start:
            yield None if abandoned() else start

    @contextmanager
    def reading(self, connection: Connection, name: str) -> Iterator[Start]:
        """One snapshot for all statements, which waits for nobody."""
        with self._transaction(connection, READING, self._plain, name) as start:
            yield start

    def alone(self, connection: Connection, project: Project) -> AbstractContextManager[Start] | None:
        """Autocommit: what a statement does is on disk when it returns.

        None where the server's clock was not looked at lately, and where the session's settings are not its own.
        Raises OutcomeUnknown where the connection is lost.
        """
        seen, now = self._clock_seen
        passed = time.monotonic() - seen
        return (
            self._by_itself(connection, Start(project, None, now + passed, now + passed))
            if passed < CLOCK_KEPT and connection.info["own"]
            else None
        )

    @contextmanager
    def _by_itself(self, connection: Connection, start: Start) -> Iterator[Start]:
        driver = _driver(connection)
        with self.translated(driver):
            try:
                with committing(driver, self.label):
                    yield start
            finally:
                _end(connection, driver)

    @contextmanager
    def _transaction(self, connection: Connection, begin: str, load: str, name: str) -> Iterator[Start]:
        driver = _driver(connection)
        with self.translated(driver):
            try:
                with driver.pipeline(), driver.cursor(row_factory=dict_row) as cursor:
                    driver.execute(begin)
                    if not connection.info["own"]:
                        set_up_transaction(driver, self._settings)
                    row = cursor.execute(load, {"name": name}).fetchone()
                if row is not None:
                    self._clock_seen = (time.monotonic(), row["now"])
                yield _start(row)
            finally:
                _end(connection, driver)

    def commit(self, connection: Connection, *, wake: bool) -> None:
        """Commit; raises OutcomeUnknown where the connection was lost before the answer came."""
        driver = _driver(connection)
        with committing(driver, self.label), driver.pipeline():
            if wake:
                driver.execute("SELECT pg_notify(%s, '')", [self._notices.channel])
            driver.execute("COMMIT")

    # -- waking, health, errors -------------------------------------------------------------------

    def version(self, connection: Connection) -> int:
        """How many notices of ready work have come; asks the server nothing once it listens."""
        driver = _driver(connection)
        with self.translated(driver):
            return self._notices.heard(driver, own=connection.info["own"])

    def news(self, connection: Connection) -> int:
        """The horizon below which events are complete: only where it moves, followers find more."""
        driver = _driver(connection)
        with self.translated(driver):
            return self._notices.horizon(driver)

    def examine(self, connection: Connection) -> list[Finding]:
        """Check the server, the schema and the settings that durability rests on."""
        from dibs.database.postgres.health import examine

        with self.translated():
            return examine(self, connection)

    @contextmanager
    def translated(self, driver: psycopg.Connection[Any] | None = None) -> Iterator[None]:
        """Turn the driver's errors into refusals; none of their words reach a client.

        A connection to a server that takes no writes is closed: the next one may find another server.
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


def _start(row: dict[str, Any] | None) -> Start:
    if row is None:
        return Start(None, None, 0.0, 0.0)
    return Start(project_of(row), row["schema_version"], row["now"], row["now"], row["horizon"], row["up"])


def _end(connection: Connection, driver: psycopg.Connection[Any]) -> None:
    with suppress(psycopg.Error):  # a connection that is lost has ended its transaction
        if driver.info.transaction_status is not TransactionStatus.IDLE and not driver.closed:
            driver.rollback()
    if connection.in_transaction():  # what SQLAlchemy keeps of it, where it ran a statement
        with suppress(DBAPIError, psycopg.Error):
            connection.rollback()


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    """The driver's own connection, which is in autocommit: transactions begin and end by statements."""
    driver: Any = connection.connection.dbapi_connection
    return driver  # type: ignore[no-any-return]  # SQLAlchemy's protocol says less
