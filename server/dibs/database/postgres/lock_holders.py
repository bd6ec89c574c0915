"""The sessions of a PostgreSQL server that keep others waiting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg

_HOLDERS: Final = """
WITH RECURSIVE blocking(pid) AS (
    SELECT unnest(pg_blocking_pids(pid)) FROM unnest(%s::int[]) AS waiting(pid)
    UNION
    SELECT unnest(pg_blocking_pids(pid)) FROM blocking
)
SELECT pid, usename, application_name, host(client_addr), extract(epoch FROM clock_timestamp() - xact_start)::float8
FROM blocking LEFT JOIN pg_stat_activity USING (pid)
WHERE cardinality(pg_blocking_pids(pid)) = 0
ORDER BY xact_start LIMIT 3
"""
"""The sessions at the end of each chain: of those that wait for a row, all but the first wait for the first.

A role without the right to see a session's times and address gets NULL for them. A prepared transaction has the pid 0.
Source: https://www.postgresql.org/docs/current/functions-info.html (pg_blocking_pids), monitoring-stats.html.
"""


def holders_for(driver: psycopg.Connection[Any], waiting: Sequence[int]) -> str | None:
    """Return the sessions that keep those with the pids in `waiting` from their locks, or None if nobody does."""
    rows = driver.execute(_HOLDERS, [list(waiting)]).fetchall()
    return ", ".join(_holder(*row) for row in rows) or None


def _holder(pid: int, user: str | None, program: str | None, address: str | None, age: float | None) -> str:
    if pid == 0:
        return "a prepared transaction"
    where = f" at {address}" if address else ""
    return f"{session_name(pid, user, program)}{where}" + (f" for {age:.0f} s" if age is not None else "")


def session_name(pid: int | None, user: str | None, program: str | None) -> str:
    """Return a session's id, its user and its program's name for itself, as far as they are known."""
    names = ", ".join(one for one in (user, program) if one)
    return f"pid {pid}" + (f" ({names})" if names else "")
