"""A session with PostgreSQL: its connection, its settings, its notifications, and the loss of its connection."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from sqlalchemy.exc import DBAPIError

from dibs.database.postgres.errors import is_lost, original
from dibs.database.worker_threads import LOOK_UP
from dibs.platform.sockets import is_readable
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput, OutcomeUnknown

STATEMENT_TIMEOUT: Final = "30s"
IDLE_TIMEOUT: Final = "15s"
"""For one statement, and for a transaction whose client is idle; others wait longer than that for its locks.

A shorter timeout from the URL, the role or the server has precedence.
"""

DEFAULTS: Final[Mapping[str, Any]] = {
    "application_name": "dibs",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""They reveal the loss of a server within seconds; the URL's own parameters take precedence."""

_SHORTER: Final = """set_config('{0}', CASE
    WHEN current_setting('{0}')::interval BETWEEN '1ms' AND '{1}' THEN current_setting('{0}') ELSE '{1}' END, {{local}})"""

_SET: Final = f"""
SELECT set_config('lock_timeout', %(lock)s, {{local}}),
    {_SHORTER.format("statement_timeout", STATEMENT_TIMEOUT)},
    {_SHORTER.format("idle_in_transaction_session_timeout", IDLE_TIMEOUT)},
    set_config('synchronous_commit', CASE WHEN %(relaxed)s THEN 'off'
        WHEN current_setting('synchronous_commit') = 'off' THEN 'on'
        ELSE current_setting('synchronous_commit') END, {{local}})
"""
_FOR_SESSION: Final = (
    _SET.format(local="false") + ", set_config('default_transaction_isolation', 'read committed', false)"
    ", set_config('default_transaction_read_only', %(reading)s, false) WHERE pg_backend_pid() = %(backend)s"
)
_FOR_ONE_TRANSACTION: Final = _SET.format(local="true")

WRITING: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

HORIZON: Final = """
coalesce(
    (SELECT min(open::text::bigint) FROM pg_snapshot_xip(pg_current_snapshot()) open
        WHERE NOT EXISTS (
            SELECT FROM pg_stat_get_activity(NULL) session
            WHERE session.backend_xid = open::xid
                AND session.datid <> (SELECT oid FROM pg_database WHERE datname = current_database()))),
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
"""
"""The number below which every transaction of this database has ended in the statement's snapshot.

A snapshot counts the transactions of the whole server. Those that a session of another database still has open are left
out: they write no events here, and may be open for hours. Every user may see these two columns of a foreign session.
"""


def connect(url: str) -> psycopg.Connection[Any]:
    """Open a connection in autocommit: transactions begin and end by statements.

    Raises psycopg.Error, and InvalidInput for an invalid URL: the library's message may quote the password.
    """
    try:
        parameters = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise InvalidInput(
            "The URL in DIBS_DB is invalid. Its form is postgresql://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETERS, "
            "with special characters as %XX; docs/how-to/postgresql.md has examples.",
            field="db",
        ) from None
    if "," in str(parameters.get("host", "")):  # of several servers, use the one that takes writes
        parameters.setdefault("target_session_attrs", "read-write")
    return psycopg.connect(autocommit=True, **{**DEFAULTS, **parameters})


def set_up(driver: psycopg.Connection[Any], settings: Settings, *, reading: bool) -> bool:
    """Apply the settings of a whole session; with `reading` it can never write. Returns whether the session is our own.

    It is not our own behind a pooler that lends a session for one transaction: then nothing is set, and no statement
    is prepared. Such a pooler passes settings, LISTEN and prepared statements on to its other clients, and a statement
    that is confused with another may run without an error. A pooler invents the process id that it reports for the
    backend, so this differs from the server's.
    """
    values = _values(settings) | {"reading": "on" if reading else "off", "backend": driver.info.backend_pid}
    own = driver.execute(_FOR_SESSION, values).fetchone() is not None
    if not own:
        driver.prepare_threshold = None
    return own


def set_up_transaction(driver: psycopg.Connection[Any], settings: Settings) -> None:
    """Apply the same settings to the current transaction, on a session that is not our own."""
    driver.execute(_FOR_ONE_TRANSACTION, _values(settings))


def _values(settings: Settings) -> dict[str, object]:
    lock = settings.patience + LOOK_UP  # a call that gives up still waits while it looks for the lock's holder
    return {"lock": f"{int(lock * 1000)}ms", "relaxed": settings.synchronous == "NORMAL"}


def is_silent(driver: psycopg.Connection[Any]) -> bool:
    """Return whether neither a message of the server nor the end of the connection has arrived."""
    return not is_readable(driver.fileno())


@contextmanager
def unless_lost(driver: psycopg.Connection[Any], label: str) -> Iterator[None]:
    """Raise OutcomeUnknown if a commit's answer is lost, or if the commit may not be on every required disk.

    A server that stops waiting for its standby sends a warning, and then the answer that it has committed.
    Source: SyncRepWaitForLSN in PostgreSQL's src/backend/replication/syncrep.c
    """
    severities: list[str | None] = []

    def listen(notice: psycopg.errors.Diagnostic) -> None:
        severities.append(notice.severity_nonlocalized)  # valid only during this call

    driver.add_notice_handler(listen)
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        if is_lost(original(error)):
            raise _unknown(f"The connection to {label} broke") from error
        raise
    finally:
        driver.remove_notice_handler(listen)
    if "WARNING" in severities:
        raise _unknown(f"No standby of {label} confirmed in time")


def _unknown(what: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{what} during the commit: the change may have taken effect or not. Call again with the same request_id or "
        "claim_token to find out. The server releases a claim without either: claim again. Before you repeat anything "
        "else, read what is there."
    )


LOOK_ANYWAY: Final = 5.0
LOOK_POOLED: Final = 1.0
"""Seconds after which waiting claims look without a notification; a pooler passes on no notifications."""


class Notifications:
    """Counts the notifications on `channel` through one connection, the `listener`; a new one sends LISTEN again."""

    def __init__(self) -> None:
        self.channel = ""
        self.listener: psycopg.Connection[Any] | None = None
        self._count = 0
        self._looked = -math.inf

    def count(self, driver: psycopg.Connection[Any], *, own: bool) -> int:
        """Return a number that changes when work may be ready; asks the server nothing once it listens.

        On a session that is not our `own`, a LISTEN would outlive the transaction and reach the pooler's other clients.
        """
        if not own:
            return int(time.monotonic() / LOOK_POOLED)
        if self.listener is not driver:
            driver.execute(f"LISTEN {self.channel}")
            self.listener = driver
            self._count += 1  # there may have been notifications before
        self._count += sum(1 for _ in driver.notifies(timeout=0))
        if time.monotonic() - self._looked > LOOK_ANYWAY:
            self._looked = time.monotonic()
            self._count += 1
        return self._count

    def horizon(self, driver: psycopg.Connection[Any]) -> int:
        """Return the number below which every transaction has ended; also counts the notifications so far."""
        if self.listener is driver:
            self._count += sum(1 for _ in driver.notifies(timeout=0))
        row = driver.execute(f"SELECT {HORIZON}").fetchone()
        assert row is not None, "the query returns one row"
        return int(row[0])
