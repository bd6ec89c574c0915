"""Inspect and copy a database file without serving it: its projects, its lock holders, its file system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from dibs.database.project_row import Freeze, newer_schema
from dibs.database.sqlite.driver import driver
from dibs.database.sqlite.errors import meaning, quarantined
from dibs.database.sqlite.filesystems import is_unsafe, prepare_folder, refuse_path, refuse_unsafe
from dibs.database.sqlite.foreign_objects import at_rest, foreign_objects, holds_backlog
from dibs.database.sqlite.lock_holders import attached, exclusive_access, is_open_nowhere
from dibs.database.sqlite.log_sync import mark_of
from dibs_schema.refusals import DatabaseDamaged, InvalidInput, NotFound
from dibs_schema.tables import HEAD

__all__ = [
    "attached",
    "checkpoint",
    "copy_checked",
    "copy_pages",
    "copy_snapshot",
    "exclusive_access",
    "is_open_nowhere",
    "is_unsafe",
    "mark_of",
    "prepare_folder",
    "projects_in",
    "quarantined",
    "refuse_newer",
    "refuse_path",
    "refuse_unsafe",
    "schema_in",
]


def projects_in(file: Path) -> dict[str, Freeze | None]:
    """Return the projects of a file by their names, each with its freeze, or None if it accepts writes.

    Raises NotFound, DatabaseDamaged, and InvalidInput if the file belongs to another program.
    """
    with _opened(file) as connection:
        if not holds_backlog(connection):
            raise InvalidInput(f"{file} is a SQLite database of another program, and not a backlog.", field="source")
        try:
            rows = connection.execute("SELECT name, moved_to FROM projects").fetchall()
        except driver().OperationalError as error:
            if "no such column" not in str(error):
                raise
            rows = connection.execute(
                "SELECT name, NULL FROM projects"
            ).fetchall()  # as in the first version of the schema
    return {name: Freeze.read(text) if text is not None else None for name, text in rows}


def schema_in(file: Path) -> str:
    """Return the schema's version of a backlog's file."""
    with _opened(file) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def refuse_newer(file: Path) -> None:
    """Raise SchemaNewer if a newer Dibs has written a backlog's file."""
    version = schema_in(file)
    if version > HEAD:
        raise newer_schema(str(file), version)


def copy_snapshot(file: Path, into: Path) -> None:
    """Copy one snapshot of a database into a new file; others may write during the copy.

    Raises DatabaseDamaged if it cannot be read, and DiskFull if there is no room for the copy.
    Source: https://www.sqlite.org/lang_vacuum.html#vacuum_with_an_into_clause.
    """
    with _opened(file, live=True) as connection:
        _copy(connection, into)


def _copy(connection: Any, into: Path) -> None:
    into.touch(mode=0o600)  # VACUUM INTO takes an empty file like a missing one, and keeps its mode
    try:
        connection.execute("VACUUM INTO ?", [str(into)])
    except driver().Error as error:
        refusal = meaning(into, error)
        if refusal is None or isinstance(refusal, DatabaseDamaged):
            raise  # the source is damaged, not the copy
        raise refusal from error


def copy_pages(file: Path, into: Path) -> None:
    """Copy a database page by page, damaged pages too, with the contents of its log. Nothing is written to it.

    Raises NotFound, and DatabaseDamaged if SQLite cannot read or write every page, as in a truncated file. Source:
    https://www.sqlite.org/backup.html.
    """
    into.touch(mode=0o600)
    with _opened(file, live=True) as connection, closing(driver().connect(str(into))) as copy:
        try:
            connection.backup(copy)
        except driver().Error as error:  # it has no code
            raise DatabaseDamaged(
                f"{file} cannot be copied page by page: its end is missing, or the disk is full. Nothing was changed. Stop "
                "all servers, and then copy it and the -wal file next to it by other means."
            ) from error


def copy_checked(file: Path, into: Path) -> None:
    """Check every page of a database file and copy it. It may be read-only, and no file is made next to it.

    Raises NotFound, InvalidInput if somebody has added a table, view or trigger to it, DatabaseDamaged, and DiskFull if
    there is no room for the copy.
    """
    with _opened(file) as connection:
        if foreign := foreign_objects(connection):
            raise InvalidInput(
                f"{file} has {', '.join(foreign[:5])}, which no backup of Dibs has: somebody has added them. Nothing was "
                "restored. Remove them, or restore another backup.",
                field="source",
            )
        lines = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
        if lines != ["ok"] or connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise DatabaseDamaged(
                f"{file} is damaged: {'; '.join(lines[:3])}. Nothing was restored. Try an older backup."
            )
        _copy(connection, into)


def checkpoint(file: Path) -> bool:
    """Write a database's log into its file and remove the log. Returns False if a reader or damage prevents that.

    Raises Busy if another process has the file open.
    Source: https://www.sqlite.org/wal.html#use_of_wal_without_shared_memory, for the exclusive lock.
    """
    url = f"{file.resolve().as_uri()}?mode=rw"
    try:
        with _opened(file) as connection:
            if [tuple(row) for row in connection.execute("PRAGMA quick_check(1)")] != [("ok",)]:
                return False  # closing a connection that can write would checkpoint damaged pages
        # Closing the last connection removes the log.
        with _translated(file), closing(driver().connect(url, uri=True, isolation_level=None, timeout=0)) as writer:
            writer.execute("PRAGMA locking_mode = EXCLUSIVE")
            writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
            ((busy, _, _),) = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except DatabaseDamaged:
        return False
    return not busy


@contextmanager
def _opened(file: Path, *, live: bool = False) -> Iterator[Any]:
    """Open a connection that writes nothing; for a `live` file it takes locks and may create a log."""
    refuse_path(file)
    if not file.exists():
        raise NotFound(f"There is no file {file}.")
    immutable = "" if live and os.access(file.parent, os.W_OK) else at_rest(file)
    url = f"{file.resolve().as_uri()}?mode=ro{immutable}"
    # Closing a connection that can write would checkpoint the log, however damaged it or the file is.
    with _translated(file), closing(driver().connect(url, uri=True)) as connection:
        yield connection


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except driver().Error as error:
        refusal = meaning(path, error)
        if refusal is None:
            raise
        raise refusal from error
