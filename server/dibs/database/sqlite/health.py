"""Checks of a database file's health."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, String, Table
from sqlalchemy.engine import Connection

from dibs.database.health import HealthCheck, check_library, check_schema
from dibs.database.sqlite import lock_holders
from dibs.database.sqlite.errors import not_recovered
from dibs.database.sqlite.foreign_objects import foreign_objects
from dibs.database.sqlite.log_sync import mark_of
from dibs.platform import lock_table
from dibs.platform.file_systems import file_system
from dibs_schema.tables import metadata

LARGE_WAL = 64 * 1024 * 1024
"""Bytes; a healthy log stays under 20 MB unless a read takes long."""

MOST_NAMED = 5
"""Invalid values of one table that a check names."""


def check_file(path: Path, library: str, connection: Connection) -> list[HealthCheck]:
    """Check the file, its file system, the library, the log and every page. Writes nothing.

    Raises the driver's error if the file cannot be read at all.
    """
    found = file_system(path)
    kind = f"{found.kind}, which can share a write-ahead log" if found else "unknown here"
    try:
        return [
            _file(path),
            HealthCheck("file system", "ok", kind),
            check_library("library", library),
            check_schema(connection),
            _objects(connection),
            _log(path),
            _lock(path),
            _servers(path),
            _pages(connection),
            _references(connection),
            _texts(connection),
        ]
    finally:
        connection.rollback()


def _file(path: Path) -> HealthCheck:
    stat = path.stat()
    size, mode = f"{stat.st_size / 1_048_576:.1f} MiB", stat.st_mode & 0o777
    if not all(os.access(one, os.W_OK) for one in (path, path.parent)):
        says = f"{path}, {size}, cannot be written from here: the file, its folder or the whole mount is read-only."
        return HealthCheck("file", "warning", f"{says} Commands can read, but no server started here can claim.")
    if mode & 0o077:
        return HealthCheck(
            "file", "warning", f"{path}, {size}, others may read it (mode {mode:o}); chmod 600 keeps it private."
        )
    return HealthCheck("file", "ok", f"{path}, {size}, private")


def _objects(connection: Connection) -> HealthCheck:
    foreign = foreign_objects(connection.connection.driver_connection)
    if not foreign:
        return HealthCheck("objects", "ok", "every table, view, trigger and index is Dibs's own")
    says = f"not Dibs's own: {', '.join(foreign[:MOST_NAMED])}. Somebody added them, and triggers change what agents write."
    return HealthCheck("objects", "error", f"{says} Remove them, or restore a backup.")


def _log(path: Path) -> HealthCheck:
    if mark_of(path).exists():
        return HealthCheck("write-ahead log", "error", not_recovered(path).message)
    log = Path(f"{path}-wal")
    size = log.stat().st_size if log.exists() else 0
    if size <= LARGE_WAL:
        return HealthCheck("write-ahead log", "ok", f"{size / 1_048_576:.1f} MiB")
    says = f"{size / 1_048_576:.0f} MiB: it cannot restart while a reader uses its older part. "
    if readers := lock_holders.persistent(lambda: lock_holders.readers_of(path)):
        says += f"{_names(readers)} reads without a pause: end that program, and the next commits shrink the log."
    else:
        says += "No process reads now: the next commits shrink it."
    return HealthCheck("write-ahead log", "warning", says)


def _lock(path: Path) -> HealthCheck:
    if not lock_table.LOCKS.exists():
        return HealthCheck("lock", "ok", "the kernel does not list lock holders here")
    lock_file = Path(f"{path}.lock")
    queue = lock_holders.persistent(lambda: lock_holders.head_of_queue(path))
    waiting = [one.pid for one in lock_table.locks_on(lock_file) if one.waiting]
    writing = lock_holders.persistent(lambda: lock_holders.writers_of(path)) - queue
    if not queue and not writing:
        return HealthCheck("lock", "ok", "no process has held it for long")
    says = []
    if queue:
        says.append(f"{_names(queue)} stays at the head of the writer queue")
    if writing:
        says.append(f"{_names(writing)} holds the write lock of SQLite")
    if waiting:
        says.append(f"{_names(waiting)} waits")
    advice = "If that lasts, the first is stopped or stuck: continue it (kill -CONT), or end it."
    return HealthCheck("lock", "warning", f"{'; '.join(says)}. {advice}")


def _servers(path: Path) -> HealthCheck:
    if not lock_table.LOCKS.exists():
        return HealthCheck("servers", "ok", "the kernel does not list lock holders here")
    return HealthCheck(
        "servers", "ok", f"open in {', '.join(lock_holders.attached(path)) or 'no other process visible from here'}"
    )


def _names(pids: Iterable[int]) -> str:
    return ", ".join(map(lock_table.process_name, sorted(pids)))


def _pages(connection: Connection) -> HealthCheck:
    lines = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(10)")]
    if lines == ["ok"]:
        return HealthCheck("integrity", "ok", "every page and index is sound")
    says = f"damaged: {'; '.join(lines[:3])}. Stop the agents and restore a backup; delete nothing."
    return HealthCheck("integrity", "error", says)


def _texts(connection: Connection) -> HealthCheck:
    """Check that TEXT values are UTF-8 and JSON values valid: SQLite's own checks ignore the bytes of TEXT values."""
    driver = connection.connection.driver_connection
    assert driver is not None, "the connection is open"
    text_factory, driver.text_factory = driver.text_factory, bytes
    try:
        broken = [place for table in metadata.sorted_tables for place in _invalid_in(driver, table)]
    finally:
        driver.text_factory = text_factory
    if broken:
        says = f"damaged: {', '.join(broken[:5])}{' and more' if len(broken) > 5 else ''}. "
        return HealthCheck("texts", "error", f"{says}Stop the agents and restore a backup; delete nothing.")
    return HealthCheck("texts", "ok", "every TEXT value is valid")


def _references(connection: Connection) -> HealthCheck:
    broken = len(connection.exec_driver_sql("PRAGMA foreign_key_check").all())
    if broken:
        return HealthCheck("references", "error", f"{broken} rows refer to rows that do not exist.")
    return HealthCheck("references", "ok", "every referenced row exists")


def _invalid_in(driver: Any, table: Table) -> Iterator[str]:
    """Yield the places of a few invalid values in a table."""
    keys = [column.name for column in table.primary_key]
    texts = [column for column in table.c if isinstance(column.type, (String, JSON))]
    names = ", ".join([*keys, *(column.name for column in texts)])
    found = 0
    for row in driver.execute(f"SELECT {names} FROM {table.name}"):  # noqa: S608 - our own names
        for column, value in zip(texts, row[len(keys) :], strict=True):
            if value is not None and not _is_valid(value, is_json=isinstance(column.type, JSON)):
                parts = [
                    one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in row[: len(keys)]
                ]
                yield f"{column.name} of {table.name} {'.'.join(parts)}"
                found += 1
        if found >= MOST_NAMED:
            return


def _is_valid(value: Any, *, is_json: bool) -> bool:
    try:
        text = value.decode() if isinstance(value, bytes) else value
        if is_json:
            json.loads(text)
    except (ValueError, TypeError):
        return False
    return isinstance(text, str)
