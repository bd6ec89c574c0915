"""A session with PostgreSQL: how it is connected, and what holds for every transaction of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg

from dibs.settings import Settings

STATEMENT_TIMEOUT: Final = 30_000
IDLE_TIMEOUT: Final = 30_000
"""Milliseconds: for one statement, and for a transaction whose process says nothing."""

DEFAULTS: Final[Mapping[str, Any]] = {
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

PREPARE_AFTER: Final = 5
"""Executions after which a statement is prepared at the server; psycopg's own default."""


def connect(url: str, *, prepares: bool) -> psycopg.Connection[Any]:
    """A new connection in autocommit: transactions begin and end by statements. Raises psycopg.Error."""
    given = psycopg.conninfo.conninfo_to_dict(url)
    return psycopg.connect(
        autocommit=True, prepare_threshold=PREPARE_AFTER if prepares else None, **{**DEFAULTS, **given}
    )


def set_up(driver: psycopg.Connection[Any], settings: Settings, *, reading: bool) -> None:
    """Set what holds for the whole session; with `reading` it can never write."""
    driver.execute(
        _SESSION,
        {
            "lock": f"{int(settings.patience * 1000)}ms",
            "statement": f"{STATEMENT_TIMEOUT}ms",
            "idle": f"{IDLE_TIMEOUT}ms",
            "reading": "on" if reading else "off",
            "relaxed": settings.synchronous == "NORMAL",
        },
    )
