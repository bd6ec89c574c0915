"""What can be said of a PostgreSQL database's health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Connection

from dibs.database.health import Finding, schema_finding

if TYPE_CHECKING:
    from dibs.database.postgres.engine import Postgres

CROWDED = 0.8
"""The part of the server's connections in use from which on it is worth a word."""


def examine(engine: Postgres, connection: Connection) -> list[Finding]:
    """Check the server, the schema, and what durability rests on. Writes nothing."""

    def ask(sql: str) -> Any:
        return connection.exec_driver_sql(sql).scalar_one()

    try:
        return [
            Finding("server", "ok", f"{engine.label}, {str(ask('SELECT version()')).split(' on ')[0]}"),
            schema_finding(connection),
            _durable(ask("SHOW fsync"), ask("SHOW full_page_writes"), ask("SHOW synchronous_commit")),
            _vacuum(ask("SHOW autovacuum")),
            _encoding(ask("SHOW server_encoding")),
            _room(
                ask("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"),
                int(ask("SHOW max_connections")),
            ),
        ]
    finally:
        connection.rollback()


def _durable(fsync: str, pages: str, commit: str) -> Finding:
    if "off" in (fsync, pages):
        says = f"fsync is {fsync}, full_page_writes {pages}: a crash of the server can lose or damage what was acknowledged."
        return Finding("durability", "error", says)
    if commit == "off":
        return Finding(
            "durability", "warning", "synchronous_commit is off: a crash may undo the last moments."
        )
    return Finding("durability", "ok", f"fsync on, synchronous_commit {commit}")


def _vacuum(enabled: str) -> Finding:
    if enabled == "off":
        return Finding("autovacuum", "error", "it is off: claims grow slower by the hour. Turn it on.")
    return Finding("autovacuum", "ok", "on")


def _encoding(encoding: str) -> Finding:
    if encoding != "UTF8":
        return Finding("encoding", "error", f"{encoding}: texts that it does not hold are refused. Use UTF8.")
    return Finding("encoding", "ok", encoding)


def _room(used: int, most: int) -> Finding:
    says = f"{used} of {most} in use"
    if used > most * CROWDED:
        return Finding("connections", "warning", f"{says}. Raise max_connections, or use a pooler.")
    return Finding("connections", "ok", says)
