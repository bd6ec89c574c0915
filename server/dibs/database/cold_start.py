"""Bringing a database up: the write-ahead log, the schema, the project's row. A warm start writes nothing."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from sqlalchemy import insert
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError

from dibs.database.sqlite import SQLite
from dibs.database.transaction import Project, find_project
from dibs_schema.refusals import Busy, InvalidInput, ReadOnly, SchemaNewer
from dibs_schema.tables import HEAD, metadata, projects

DEFAULTS = {
    "claim_order": "priority",
    "max_claims": 1,
    "max_claims_per_connection": 16,
    "max_failures": 3,
    "max_attempts": 10,
    "max_skips": 3,
    "max_dependencies": 20,
    "back_off": 30,
}
"""A new project's settings; `back_off` in seconds, doubling with each failure up to 600."""


def prepare_folder(path: Path) -> None:
    """Make the folder of the database; a `.dibs` ignores itself in git.

    Raises ReadOnly where it cannot be made, or where `path` is a folder.
    """
    if path.is_dir():
        raise ReadOnly(f"{path} is a folder. Name a file, for example {path / 'features.db'}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ignore = path.parent / ".gitignore"
        if path.parent.name == ".dibs" and not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except FileExistsError as error:
        raise ReadOnly(
            f"{path.parent} is a file, not a folder. Name another database with --db or DIBS_DB."
        ) from error
    except OSError as error:
        raise ReadOnly(
            f"{path.parent} cannot be made or written: {error.strerror}. Make it writable for this user, "
            "or name another database with --db or DIBS_DB."
        ) from error


def bring_up(engine: SQLite, connection: Connection, name: str) -> Project:
    """The project of that name, on a database that is ready to serve it.

    Thirty-two processes may do this at the same moment: all look first, and those that find
    something missing do it one after another behind the door, looking again.
    Raises SchemaNewer, Busy, ReadOnly, DatabaseDamaged.
    """
    found = _look(engine, connection, name)
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
        if engine.journal_mode(connection) != "wal" or schema_version(connection) is None:
            return None
        found = find_project(connection, name)
    except Busy:  # someone else is bringing it up
        return None
    finally:
        connection.rollback()
    if found is None:
        return None
    project, version = found
    if version > HEAD:
        raise SchemaNewer(
            f"{engine.path} has schema {version}, this Dibs knows up to {HEAD}. Update Dibs on this machine.",
            schema=version,
        )
    return project if version == HEAD else None


def schema_version(connection: Connection) -> str | None:
    """The newest migration that the database has, or None where it is not a backlog yet."""
    try:
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    except DatabaseError as error:
        if "no such table" in str(error.orig):
            return None
        raise


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
            _migrate(connection)
        if find_project(connection, name) is None:
            connection.execute(insert(projects).values(_new_project(name)))
        connection.commit()
    finally:
        connection.rollback()


def _refuse_foreign(engine: SQLite, connection: Connection) -> None:
    """Leave another program's database alone."""
    tables = {
        row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    if tables and not set(metadata.tables) <= tables:
        raise InvalidInput(
            f"{engine.path} is a SQLite database of another program. Nothing was changed. Name a file of its own "
            "with --db; `dibs import` reads the backlogs of other tools.",
            field="db",
        )


def _new_project(name: str) -> dict[str, object]:
    identity = {"name": name, "generation": secrets.token_hex(8), "created_at": time.time()}
    return identity | DEFAULTS | {"next_feature_id": 1, "next_question_id": 1}


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    import dibs_schema.migrations

    config = Config()
    config.set_main_option(
        "script_location", str(Path(dibs_schema.migrations.__file__).parent).replace("%", "%%")
    )
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
