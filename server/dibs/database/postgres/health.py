"""Checks of a PostgreSQL database's health."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection

from dibs.database.health import HealthCheck, check_schema
from dibs.database.postgres.lock_holders import session_name

OLD = 300
"""Seconds after which a check warns about a transaction."""

_WAITING = """
SELECT blocker.pid, blocker.usename, blocker.application_name,
    extract(epoch FROM clock_timestamp() - blocker.xact_start)::float8, count(*)
FROM pg_stat_activity waiter, unnest(pg_blocking_pids(waiter.pid)) AS blocking(pid)
    LEFT JOIN pg_stat_activity blocker ON blocker.pid = blocking.pid
WHERE waiter.datname = current_database()
GROUP BY 1, 2, 3, 4 ORDER BY 4 DESC NULLS LAST LIMIT 5
"""
"""The sessions that others wait for. A role without the right to see a session's times gets NULL for them."""

_OLDEST = """
SELECT pid, usename, application_name, extract(epoch FROM clock_timestamp() - xact_start)::float8
FROM pg_stat_activity
WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
    AND backend_type = 'client backend'
ORDER BY xact_start LIMIT 1
"""


def check_server(label: str, connection: Connection) -> list[HealthCheck]:
    """Check the server, the schema, and the settings that durability depends on. Writes nothing."""

    def ask(sql: str) -> Any:
        return connection.exec_driver_sql(sql).scalar_one()

    try:
        waiting = connection.exec_driver_sql(_WAITING).all()
        oldest = connection.exec_driver_sql(_OLDEST).first()
        return [
            HealthCheck("server", "ok", f"{label}, {str(ask('SELECT version()')).split(' on ')[0]}"),
            check_schema(connection),
            _durable(ask("SHOW fsync"), ask("SHOW full_page_writes"), ask("SHOW synchronous_commit")),
            _vacuum(ask("SHOW autovacuum")),
            _encoding(ask("SHOW server_encoding")),
            _room(
                ask("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"),
                int(ask("SHOW max_connections")),
            ),
            _lock([tuple(row) for row in waiting]),
            _old(tuple(oldest) if oldest is not None else None),
        ]
    finally:
        connection.rollback()


def _durable(fsync: str, pages: str, commit: str) -> HealthCheck:
    if "off" in (fsync, pages):
        says = f"fsync is {fsync}, full_page_writes {pages}: a crash of the server can lose or damage what was acknowledged."
        return HealthCheck("durability", "error", says)
    if commit == "off":
        return HealthCheck("durability", "warning", "synchronous_commit is off: a crash may undo the last commits.")
    return HealthCheck("durability", "ok", f"fsync on, synchronous_commit {commit}")


def _vacuum(enabled: str) -> HealthCheck:
    if enabled == "off":
        return HealthCheck("autovacuum", "error", "it is off: claims become slower by the hour. Turn it on.")
    return HealthCheck("autovacuum", "ok", "on")


def _encoding(encoding: str) -> HealthCheck:
    if encoding != "UTF8":
        return HealthCheck("encoding", "error", f"{encoding}: texts with other characters are refused. Use UTF8.")
    return HealthCheck("encoding", "ok", encoding)


def _room(used: int, most: int) -> HealthCheck:
    says = f"{used} of {most} in use"
    if used > most * 0.8:
        return HealthCheck("connections", "warning", f"{says}. Raise max_connections, or use a pooler.")
    return HealthCheck("connections", "ok", says)


def _lock(waiting: list[tuple[Any, ...]]) -> HealthCheck:
    if not waiting:
        return HealthCheck("lock", "ok", "no session waits for another")
    says = "; ".join(
        f"{session_name(*who)} keeps {count} waiting" + (f", for {age:.0f} s" if age is not None else "")
        for *who, age, count in waiting
    )
    return HealthCheck(
        "lock", "warning", f"{says}. If that lasts, end it: SELECT pg_terminate_backend({waiting[0][0]})."
    )


def _old(oldest: tuple[Any, ...] | None) -> HealthCheck:
    if oldest is None or oldest[3] < OLD:
        return HealthCheck("transactions", "ok", f"none is older than {OLD // 60} minutes")
    *who, age = oldest
    says = f"{session_name(*who)} has had one open for {age / 60:.0f} minutes"
    return HealthCheck(
        "transactions",
        "warning",
        f"{says}: it delays followers, and keeps dead rows in the tables. To end it: "
        f"SELECT pg_terminate_backend({who[0]}).",
    )
