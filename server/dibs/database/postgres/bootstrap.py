"""Bringing a PostgreSQL database up: the schema and the project's row. A warm start writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, inspect, select
from sqlalchemy.engine import Connection

from dibs.database.project import Project, find_project, new_project, newer
from dibs.database.schema import OURS, migrate, schema_version
from dibs_schema.refusals import InvalidInput
from dibs_schema.tables import HEAD, projects

if TYPE_CHECKING:
    from dibs.database.postgres.engine import Postgres

MIGRATION_LOCK = 0x64696273
"""The advisory lock under which one process migrates ("dibs")."""

_TABLES_ARE_THERE = "SELECT every(to_regclass(name) IS NOT NULL) FROM unnest(%s::text[]) name"


def bring_up(engine: Postgres, connection: Connection, name: str) -> Project:
    """The project of that name, on a database that is ready to serve it.

    Many processes may do this at the same moment: all look first, and those that find something
    missing do it one after another under an advisory lock, looking again.
    Raises SchemaNewer, InvalidInput, NotApplied, ReadOnly.
    """
    found = look(engine, connection, name)
    if found is None:
        _write_what_is_missing(connection, name)
        found = look(engine, connection, name)
        assert found is not None, "it was just written"
    return found


def is_there(engine: Postgres, name: str) -> bool:
    """Whether the database holds a project of that name, in any version of the schema. Writes nothing."""
    connection = engine.connect(reading=True)
    try:
        with engine.translated():
            here = select(projects.c.id).where(projects.c.name == name)
            return _has_schema(connection) and connection.execute(here).first() is not None
    finally:
        connection.close()


def look(engine: Postgres, connection: Connection, name: str) -> Project | None:
    """The project, or None where anything at all is missing. Writes nothing. Raises SchemaNewer."""
    project, version = _found(connection, name)
    if project is None or version is None:
        return None
    if version > HEAD:
        raise newer(engine.label, version)
    return project if version == HEAD else None


def _found(connection: Connection, name: str) -> tuple[Project | None, str | None]:
    """The project and the schema's version; nothing where that is older, and lacks columns."""
    there = _has_schema(connection) and (schema_version(connection) or "") >= HEAD
    found = find_project(connection, name) if there else (None, None)
    connection.rollback()
    return found


def _has_schema(connection: Connection) -> bool:
    return bool(connection.exec_driver_sql(_TABLES_ARE_THERE, (OURS,)).scalar_one())


def _write_what_is_missing(connection: Connection, name: str) -> None:
    connection.exec_driver_sql("BEGIN ISOLATION LEVEL READ COMMITTED")
    try:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
        connection.exec_driver_sql("SET LOCAL statement_timeout = '60s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        _refuse_foreign(connection)
        if _version(connection) != HEAD:
            migrate(connection)
        if find_project(connection, name)[0] is None:
            connection.execute(insert(projects).values(new_project(name)))
        connection.exec_driver_sql("COMMIT")
    finally:
        connection.rollback()


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _refuse_foreign(connection: Connection) -> None:
    """Leave another program's tables alone."""
    tables = set(inspect(connection).get_table_names())
    if tables & set(OURS) and not tables >= set(OURS):
        raise InvalidInput(
            "The schema of this database holds tables of another program by the same names. Nothing was changed. "
            "Give Dibs a database or a schema of its own (search_path in the URL's options).",
            field="db",
        )
