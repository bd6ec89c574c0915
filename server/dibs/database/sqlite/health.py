"""What can be said of a database file's health."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import Connection

from dibs.database.health import Finding, library_finding, schema_finding
from dibs.database.sqlite.filesystems import file_system
from dibs.database.sqlite.lock_holders import (
    LOCKS,
    attached,
    lasting,
    locks_on,
    named,
    readers_of,
    writers_of,
)
from dibs.database.sqlite.text_integrity import unreadable_texts

if TYPE_CHECKING:
    from dibs.database.sqlite.engine import SQLite

LARGE_WAL = 64 * 1024 * 1024
"""Bytes; a healthy log stays under 20 MB but for a long reader."""


def examine(engine: SQLite, connection: Connection) -> list[Finding]:
    """Check the file, its file system, the library, the log and every page. Writes nothing.

    Raises DatabaseDamaged where the file cannot be read at all.
    """
    with engine.translated():
        try:
            return [
                _file(engine.path),
                _mount(engine.path),
                library_finding("library", engine.library),
                schema_finding(connection),
                _log(engine.path),
                _lock(engine.path),
                _servers(engine.path),
                _pages(connection),
                _references(connection),
                _texts(connection),
            ]
        finally:
            connection.rollback()


def _file(path: Path) -> Finding:
    stat = path.stat()
    size, mode = f"{stat.st_size / 1_048_576:.1f} MiB", stat.st_mode & 0o777
    if not all(os.access(one, os.W_OK) for one in (path, path.parent)):
        says = f"{path}, {size}, cannot be written from here: the file, its folder or the whole mount is read-only."
        return Finding("file", "warning", f"{says} Commands can look, but no server started here can claim.")
    if mode & 0o077:
        return Finding(
            "file",
            "warning",
            f"{path}, {size}, others may read it (mode {mode:o}); chmod 600 keeps it private.",
        )
    return Finding("file", "ok", f"{path}, {size}, private")


def _mount(path: Path) -> Finding:
    kind = file_system(path)
    return Finding(
        "file system", "ok", f"{kind}, which can share a write-ahead log" if kind else "unknown here"
    )


def _log(path: Path) -> Finding:
    log = Path(f"{path}-wal")
    size = log.stat().st_size if log.exists() else 0
    if size <= LARGE_WAL:
        return Finding("write-ahead log", "ok", f"{size / 1_048_576:.1f} MiB")
    says = f"{size / 1_048_576:.0f} MiB: it cannot begin anew while somebody reads what is old in it. "
    if readers := lasting(lambda: readers_of(path)):
        says += f"{_names(readers)} reads on and on: end that program, and the next commits shrink the log."
    else:
        says += "Nobody reads just now: the next commits shrink it."
    return Finding("write-ahead log", "warning", says)


def _lock(path: Path) -> Finding:
    if not LOCKS.exists():
        return Finding("lock", "ok", "who holds it is not known here")
    door = Path(f"{path}.lock")
    queue = lasting(lambda: {one.pid for one in locks_on(door) if not one.waiting})
    waiting = [one.pid for one in locks_on(door) if one.waiting]
    writing = lasting(lambda: writers_of(path)) - queue
    if not queue and not writing:
        return Finding("lock", "ok", "nobody holds it for long")
    says = []
    if queue:
        says.append(f"{_names(queue)} stays at the head of the queue of writers")
    if writing:
        says.append(f"{_names(writing)} keeps the write lock of SQLite")
    if waiting:
        says.append(f"{_names(waiting)} waits")
    advice = "If that lasts, the first is stopped or stuck: let it go on (kill -CONT), or end it."
    return Finding("lock", "warning", f"{'; '.join(says)}. {advice}")


def _servers(path: Path) -> Finding:
    if not LOCKS.exists():
        return Finding("servers", "ok", "who has it open is not known here")
    return Finding(
        "servers", "ok", f"open in {', '.join(attached(path)) or 'no other process that is seen from here'}"
    )


def _names(pids: Iterable[int]) -> str:
    return ", ".join(map(named, sorted(pids)))


def _pages(connection: Connection) -> Finding:
    lines = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(10)")]
    if lines == ["ok"]:
        return Finding("integrity", "ok", "every page and index is sound")
    says = f"damaged: {'; '.join(lines[:3])}. Stop the agents and bring back a backup; delete nothing."
    return Finding("integrity", "error", says)


def _texts(connection: Connection) -> Finding:
    broken = unreadable_texts(connection)
    if broken:
        says = f"damaged: {', '.join(broken[:5])}{' and more' if len(broken) > 5 else ''}. "
        return Finding("texts", "error", f"{says}Stop the agents and bring back a backup; delete nothing.")
    return Finding("texts", "ok", "every text can be read")


def _references(connection: Connection) -> Finding:
    broken = len(connection.exec_driver_sql("PRAGMA foreign_key_check").all())
    if broken:
        return Finding("references", "error", f"{broken} rows point at rows that do not exist.")
    return Finding("references", "ok", "every row that is pointed at exists")
