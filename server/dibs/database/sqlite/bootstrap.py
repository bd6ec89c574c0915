"""Bringing a database file up: the write-ahead log, the schema, the project's row. A warm start writes nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert
from sqlalchemy.engine import Connection

from dibs.database.project import Project, find_project, new_project, newer
from dibs.database.schema import OURS, migrate, schema_version
from dibs_schema.refusals import Busy, InvalidInput, ReadOnly
from dibs_schema.tables import HEAD, projects

if TYPE_CHECKING:
    from dibs.database.sqlite.engine import SQLite


def prepare_folder(path: Path) -> None:
    """Make the folder of the database; a `.dibs` ignores itself in git.

    Raises ReadOnly where it cannot be made, or where `path` is a folder.
    """
    try:
        if path.is_dir():
            raise ReadOnly(f"{path} is a folder. Name a file, for example {path / 'features.db'}.")
        if not path.exists():
            _make_folder(path.parent)
        ignore = path.parent / ".gitignore"
        if path.parent.name == ".dibs" and not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except FileExistsError as error:
        raise ReadOnly(
            f"{path.parent} is a file, not a folder. Name another database with --db or DIBS_DB."
        ) from error
    except OSError as error:
        raise ReadOnly(
            f"{path.parent} cannot be entered, made or written: {error.strerror}. Make it writable for this user, "
            "or name another database with --db or DIBS_DB."
        ) from error


def _make_folder(folder: Path) -> None:
    """Make the folder, and bring its name to the disk: SQLite syncs what is in it, and no further up.

    Also where it is there already: who has just made it may not have come to that yet.
    Source: fsync(2), on the directory that contains a file; SQLite's unixSync, which ignores the same errors.
    """
    new = [one for one in folder.parents if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for parent in {folder.parent, *(one.parent for one in new)}:
        with suppress(OSError):  # a folder that may be entered but not read, or that knows no sync
            descriptor = os.open(parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def bring_up(engine: SQLite, connection: Connection, name: str) -> Project:
    """The project of that name, on a database that is ready to serve it.

    Thirty-two processes may do this at the same moment: all look first, and those that find
    something missing do it one after another behind the door, looking again.
    Raises SchemaNewer, Busy, ReadOnly, DatabaseDamaged.
    """
    found = _look(engine, connection, name)
    if found is None and engine.looking:
        raise Busy(f"{engine.path} is being changed by others. Nothing was done. Look again in a moment.")
    if found is None:
        engine.enter_door()
        try:
            _write_what_is_missing(engine, connection, name)
        finally:
            engine.door.leave()
        found = _look(engine, connection, name)
        assert found is not None
    engine.remember_identity()
    return found


def _look(engine: SQLite, connection: Connection, name: str) -> Project | None:
    """The project, or None where anything at all is missing. Writes nothing."""
    try:
        in_wal = engine.looking or engine.journal_mode(connection) == "wal"
        if not in_wal or (schema_version(connection) or "") < HEAD:
            return None  # an older one lacks columns that `find_project` names
        found = find_project(connection, name)
    except Busy:  # someone else is bringing it up
        return None
    finally:
        connection.rollback()
    project, version = found
    if project is None or version is None:
        return None
    if version > HEAD:
        raise newer(str(engine.path), version)
    return project if version == HEAD else None


def _write_what_is_missing(engine: SQLite, connection: Connection, name: str) -> None:
    _refuse_foreign(engine, connection)
    connection.rollback()
    if engine.journal_mode(connection) != "wal":
        os.chmod(engine.path, 0o600)  # noqa: PTH101 - the -wal and -shm files take after it
        engine.enter_wal(connection)
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        version = schema_version(connection)
        if version is None or version < HEAD:
            migrate(connection)
        if find_project(connection, name)[0] is None:
            connection.execute(insert(projects).values(new_project(name)))
        connection.commit()
    finally:
        connection.rollback()


def _refuse_foreign(engine: SQLite, connection: Connection) -> None:
    """Leave another program's database alone."""
    tables = {
        row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    if tables and not set(OURS) <= tables:
        raise InvalidInput(
            f"{engine.path} is a SQLite database of another program. Nothing was changed. Name a file of its own "
            "with --db; `dibs import` reads the backlogs of other tools.",
            field="db",
        )
