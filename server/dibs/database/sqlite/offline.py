"""What is in a database file: read without writing to it or making anything beside it, or all taken into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dibs.database.project import newer
from dibs.database.project_mark import Mark
from dibs.database.sqlite.driver import driver
from dibs.database.sqlite.errors import meaning
from dibs_schema.refusals import DatabaseDamaged, InvalidInput, NotFound
from dibs_schema.tables import HEAD


def marks_in(file: Path) -> dict[str, Mark | None]:
    """The projects of a file by their names, each with its mark, or None where it is live.

    Raises NotFound, DatabaseDamaged, and InvalidInput where the file is another program's.
    """
    with _opened(file) as connection:
        try:
            rows = connection.execute("SELECT name, moved_to FROM projects").fetchall()
        except driver().OperationalError as error:
            if "no such column" in str(error):  # of the first version, in which nothing moved
                rows = connection.execute("SELECT name, NULL FROM projects").fetchall()
            elif "no such table" in str(error):
                raise InvalidInput(f"{file} is a database, but no backlog.", field="source") from error
            else:
                raise
    return {name: Mark.read(text) if text is not None else None for name, text in rows}


def schema_in(file: Path) -> str:
    """The version of the schema of a backlog's file."""
    with _opened(file) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def refuse_newer(file: Path) -> None:
    """Raise SchemaNewer where a newer Dibs has written a backlog's file."""
    version = schema_in(file)
    if version > HEAD:
        raise newer(str(file), version)


def copy_pages(file: Path, into: Path) -> None:
    """Copy one snapshot of a database, which others may write to meanwhile, into a file that is not there.

    Raises DatabaseDamaged where it cannot be read, and DiskFull where there is no room for the copy.
    Source: https://www.sqlite.org/lang_vacuum.html#vacuum_with_an_into_clause.
    """
    with _opened(file, live=True) as connection:
        _copy(connection, into)


def _copy(connection: Any, into: Path) -> None:
    into.touch(mode=0o600)  # an empty file is as good as none to it, and keeps its mode
    try:
        connection.execute("VACUUM INTO ?", [str(into)])
    except driver().Error as error:
        refusal = meaning(into, error)
        if refusal is None or isinstance(refusal, DatabaseDamaged):
            raise  # it is what is read that is damaged
        raise refusal from error


def read_out(file: Path, into: Path) -> None:
    """Copy a database file whose every page is sound; nothing is made beside it, and it may be read-only.

    Raises NotFound, DatabaseDamaged, and DiskFull where there is no room for the copy.
    """
    with _opened(file) as connection:
        lines = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
        if lines != ["ok"] or connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise DatabaseDamaged(
                f"{file} is damaged: {'; '.join(lines[:3])}. Nothing was restored. Try an older backup."
            )
        _copy(connection, into)


def take_in_log(file: Path) -> bool:
    """Take what stands in a database's log into its file, and remove the log; False where it is too damaged for that.

    Raises Busy where another process has it open.
    Source: https://www.sqlite.org/wal.html#use_of_wal_without_shared_memory, for the lock that keeps everyone out.
    """
    if not _is_sound(
        file
    ):  # a connection that can write takes the log in when it is closed, whatever it has found
        return False
    connection = driver().connect(
        f"{file.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0
    )
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        ((held_up, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except driver().Error as error:
        refusal = meaning(file, error)
        if isinstance(refusal, DatabaseDamaged):
            return False
        if refusal is None:
            raise
        raise refusal from error
    finally:
        connection.close()  # the last one out removes the log
    return not held_up


def _is_sound(file: Path) -> bool:
    try:
        with _opened(file) as connection:
            return [tuple(row) for row in connection.execute("PRAGMA quick_check(1)")] == [("ok",)]
    except DatabaseDamaged:
        return False


@contextmanager
def _opened(file: Path, *, live: bool = False) -> Iterator[Any]:
    """A connection that writes nothing; where the file may be `live` it takes locks, and makes a log if there is none."""
    if not file.is_file():
        raise NotFound(f"{file} is no file." if file.exists() else f"There is no file {file}.")
    log = Path(f"{file}-wal")
    can_change = live and os.access(file.parent, os.W_OK)
    still = "" if can_change or (log.exists() and log.stat().st_size) else "&immutable=1"
    with _translated(file):
        # Closing one that can write would take the log into the file, however damaged either is.
        connection = driver().connect(f"{file.resolve().as_uri()}?mode=ro{still}", uri=True)
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except driver().Error as error:
        refusal = meaning(path, error)
        if refusal is None:
            raise
        raise refusal from error
