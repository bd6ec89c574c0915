"""A session with PostgreSQL: how it is connected, and what holds for every transaction of it."""

from __future__ import annotations

import select
from collections.abc import Mapping
from typing import Any, Final

import psycopg

from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput

STATEMENT_TIMEOUT: Final = "30s"
IDLE_TIMEOUT: Final = "15s"
"""For one statement, and for a transaction whose process says nothing: less than others wait for its locks.

A shorter one that the URL, the role or the server sets stands.
"""

DEFAULTS: Final[Mapping[str, Any]] = {
    "application_name": "dibs",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""So that a server that vanished without a word is noticed in seconds; the URL has the last word."""

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
_FOR_GOOD: Final = (
    _SET.format(local="false") + ", set_config('default_transaction_isolation', 'read committed', false)"
    ", set_config('default_transaction_read_only', %(reading)s, false) WHERE pg_backend_pid() = %(backend)s"
)
_FOR_ONE_TRANSACTION: Final = _SET.format(local="true")

WRITING: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

PREPARE_AFTER: Final = 5
"""Executions after which a statement is prepared at the server; psycopg's own default."""


def connect(url: str) -> psycopg.Connection[Any]:
    """A new connection in autocommit: transactions begin and end by statements.

    Raises psycopg.Error, and InvalidInput where the URL is none; the library's own words may quote the password.
    """
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise InvalidInput(
            "The URL in DIBS_DB cannot be read. It is postgresql://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETERS, "
            "with what is special in a URL written as %XX; docs/how-to/postgresql.md has examples.",
            field="db",
        ) from None
    if "," in str(given.get("host", "")):  # of several servers, the one that takes writes is meant
        given.setdefault("target_session_attrs", "read-write")
    return psycopg.connect(autocommit=True, prepare_threshold=PREPARE_AFTER, **{**DEFAULTS, **given})


def set_up(driver: psycopg.Connection[Any], settings: Settings, *, reading: bool) -> bool:
    """Set what holds for the whole session; with `reading` it can never write.

    False where a pooler stands before the server: nothing was set, nothing will be prepared. A pooler that lends
    a session for one transaction passes its settings, its LISTEN and its prepared statements on to strangers,
    and a statement that is mixed up with another's may run without an error. It is told from a server
    by the process number of its greeting, which it makes up.
    """
    given = {"reading": "on" if reading else "off", "backend": driver.info.backend_pid}
    own = driver.execute(_FOR_GOOD, _values(settings) | given).fetchone() is not None
    if not own:
        driver.prepare_threshold = None
    return own


def set_up_transaction(driver: psycopg.Connection[Any], settings: Settings) -> None:
    """Set the same for the transaction that has begun, on a session that is not one's own."""
    driver.execute(_FOR_ONE_TRANSACTION, _values(settings))


def _values(settings: Settings) -> dict[str, object]:
    return {
        "lock": f"{int(settings.patience * 1000)}ms",
        "relaxed": settings.synchronous == "NORMAL",
    }


def is_silent(driver: psycopg.Connection[Any]) -> bool:
    """Whether nothing has come unasked: no last words of the server's, and no end of the line."""
    unasked = select.poll()
    unasked.register(driver.fileno(), select.POLLIN)
    return not unasked.poll(0)
