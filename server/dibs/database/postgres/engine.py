"""PostgreSQL through psycopg 3: the engine for several machines, and every quirk of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
import sqlalchemy
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dibs.database.engine import Engine, Start
from dibs.database.health import Finding
from dibs.database.postgres.errors import Unprepared, is_lost, meaning
from dibs.database.projects import Project, by_name, project_of
from dibs.settings import Settings
from dibs_schema.refusals import OutcomeUnknown

CLOCK: Final = "server"
"""The domain of the lease clock: one server's wall clock, whichever machine asks."""

STATEMENT_TIMEOUT: Final = 30_000
IDLE_TIMEOUT: Final = 30_000
"""Milliseconds: for one statement, and for a transaction whose process says nothing."""

_DEFAULTS: Final[Mapping[str, Any]] = {
    "application_name": "dibs",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""So that a server that vanished without a word is noticed in seconds; the URL has the last word."""

_SESSION: Final = """
SELECT set_config('lock_timeout', %(lock)s, false), set_config('statement_timeout', %(statement)s, false),
    set_config('idle_in_transaction_session_timeout', %(idle)s, false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('default_transaction_read_only', %(reading)s, false),
    set_config('synchronous_commit', CASE WHEN %(relaxed)s THEN 'off'
        WHEN current_setting('synchronous_commit') = 'off' THEN 'on'
        ELSE current_setting('synchronous_commit') END, false)
"""

_TIMED: Final = """
SELECT opened.*, extract(epoch FROM clock_timestamp())::float8 AS now,
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon
FROM ({}) opened
"""
"""Outside the subquery, so that the clock is read once the row's lock was had."""


class Postgres(Engine):
    """One database of a PostgreSQL server."""

    clock = CLOCK

    def __init__(self, url: str, label: str, settings: Settings) -> None:
        self.label = label
        self.library = "PostgreSQL"
        self._url = url
        self._patience = settings.patience
        self._relaxed = settings.synchronous == "NORMAL"
        self._prepares = True
        self._channel = ""
        self._heard = 0
        self._engine = sqlalchemy.create_engine(
            "postgresql+psycopg://", creator=self._connect, poolclass=NullPool, use_native_hstore=False
        )
        dialect = self._engine.dialect
        self._plain = _TIMED.format(by_name.compile(dialect=dialect))
        self._locked = _TIMED.format(
            by_name.with_for_update(key_share=True, of=_projects()).compile(dialect=dialect)
        )

    # -- connections ------------------------------------------------------------------------------

    def bring_up(self, name: str) -> tuple[Connection, Project]:
        """A connection to the database, which is made ready to serve the project of that name."""
        from dibs.database.postgres.cold_start import bring_up

        connection = self.connect()
        try:
            with self.translated():
                project = bring_up(self, connection, name)
        except BaseException:
            connection.close()
            raise
        self.library = f"PostgreSQL {_driver(connection).info.server_version // 10_000}"
        self._channel = f"dibs_{project.id}"
        return connection, project

    def connect(self, *, reading: bool = False) -> Connection:
        """A connection for one thread. One for reading can never write."""
        with self.translated():
            connection = self._engine.connect()
            _driver(connection).execute(
                _SESSION,
                {
                    "lock": f"{int(self._patience * 1000)}ms",
                    "statement": f"{STATEMENT_TIMEOUT}ms",
                    "idle": f"{IDLE_TIMEOUT}ms",
                    "reading": "on" if reading else "off",
                    "relaxed": self._relaxed,
                },
            )
            return connection

    def _connect(self) -> psycopg.Connection[Any]:
        given = psycopg.conninfo.conninfo_to_dict(self._url)
        return psycopg.connect(
            autocommit=True, prepare_threshold=5 if self._prepares else None, **{**_DEFAULTS, **given}
        )

    def is_sound(self, connection: Connection) -> bool:
        """Whether the connection is open and outside any transaction."""
        if connection.closed or connection.invalidated:
            return False
        driver = _driver(connection)
        return not driver.closed and driver.info.transaction_status is TransactionStatus.IDLE

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
        with self._transaction(connection, "BEGIN", self._locked if door else self._plain, name) as start:
            yield None if abandoned() else start

    @contextmanager
    def reading(self, connection: Connection, name: str) -> Iterator[Start]:
        """One snapshot for all statements, which waits for nobody."""
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        with self._transaction(connection, begin, self._plain, name) as start:
            yield start

    @contextmanager
    def _transaction(self, connection: Connection, begin: str, load: str, name: str) -> Iterator[Start]:
        driver = _driver(connection)
        with self.translated():
            try:
                with driver.pipeline(), driver.cursor(row_factory=dict_row) as cursor:
                    driver.execute(begin)
                    row = cursor.execute(load, {"name": name}).fetchone()
                yield _start(row)
            finally:
                self._end(connection)

    def commit(self, connection: Connection, *, wake: bool) -> None:
        """Commit; raises OutcomeUnknown where the connection was lost before the answer came."""
        driver = _driver(connection)
        try:
            with driver.pipeline():
                if wake:
                    driver.execute("SELECT pg_notify(%s, '')", [self._channel])
                driver.execute("COMMIT")
        except psycopg.Error as error:
            if is_lost(error):
                raise OutcomeUnknown(
                    f"The connection to {self.label} broke while the change was being committed: it may be there or not. "
                    "Call again with the same request_id or claim_token to find out."
                ) from error
            raise

    def _end(self, connection: Connection) -> None:
        driver = _driver(connection)
        with suppress(psycopg.Error):  # a connection that is lost has ended its transaction
            if not driver.closed:
                driver.rollback()
        if connection.in_transaction():  # what SQLAlchemy keeps of it, where it ran a statement
            with suppress(DBAPIError, psycopg.Error):
                connection.rollback()

    # -- waking, health, errors -------------------------------------------------------------------

    def version(self, connection: Connection) -> int:
        """How many notices of ready work have come; asks the server nothing once it listens."""
        driver = _driver(connection)
        with self.translated():
            if connection.info.get("listens") is not driver:
                driver.execute(f"LISTEN {self._channel}")
                connection.info["listens"] = driver
                self._heard += 1  # what came before is not known
            self._heard += sum(1 for _ in driver.notifies(timeout=0))
        return self._heard

    def examine(self, connection: Connection) -> list[Finding]:
        """Check the server, the schema and the settings that durability rests on."""
        from dibs.database.postgres.health import examine

        with self.translated():
            return examine(self, connection)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the driver's errors into refusals; none of their words reach a client."""
        try:
            yield
        except (DBAPIError, psycopg.Error) as error:
            original = error.orig if isinstance(error, DBAPIError) and error.orig else error
            refusal = meaning(self.label, original)
            if refusal is None:
                raise
            if isinstance(refusal, Unprepared):
                self._prepares = False
            raise refusal from error


def _start(row: dict[str, Any] | None) -> Start:
    if row is None:
        return Start(None, None, 0.0, 0.0)
    return Start(project_of(row), row["schema_version"], row["now"], row["now"], row["horizon"])


def _projects() -> sqlalchemy.Table:
    from dibs_schema.tables import projects

    return projects


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    """The driver's own connection, which is in autocommit: transactions begin and end by statements."""
    driver: Any = connection.connection.dbapi_connection
    return driver  # type: ignore[no-any-return]  # SQLAlchemy's protocol says less
