"""Prepare a database, on both engines: the schema, its migrations, and the project's row."""

from __future__ import annotations

import secrets
import threading
import time
from pathlib import Path

from sqlalchemy import insert
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError

from dibs.database.project_row import Project, find_project, newer_schema
from dibs_schema.project_settings import ProjectSettings
from dibs_schema.tables import HEAD, projects

FIRST_TABLES = ["alembic_version", "projects", "features", "dependencies", "events", "questions", "requests", "writers"]
"""The tables of every version of the schema. A database with only some of them belongs to another program."""

_MIGRATION = threading.Lock()
"""Held during a migration: Alembic keeps its state in a module, which the threads of a process share."""


def schema_version(connection: Connection) -> str | None:
    """Return the newest migration of the database, or None if it has none yet."""
    try:
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    except DatabaseError as error:
        if any(words in str(error.orig) for words in ("no such table", "does not exist")):
            return None
        raise


def ready_project(connection: Connection, name: str, label: str) -> Project | None:
    """Return the project, or None if the schema is older or the project is missing. Raises SchemaNewer."""
    version = schema_version(connection)
    if version is None or version < HEAD:  # an older schema lacks columns that `find_project` names
        return None
    if version > HEAD:
        raise newer_schema(label, version)
    return find_project(connection, name)[0]


def write_missing(connection: Connection, name: str, version: str | None) -> None:
    """Migrate from `version` of the schema and insert the project, in the caller's transaction."""
    if version is None or version < HEAD:
        _migrate(connection)
    if find_project(connection, name)[0] is None:
        # The generation distinguishes the project from every other one of the same name.
        identity = {"name": name, "generation": secrets.token_hex(8), "created_at": time.time()}
        numbers = {"next_feature_id": 1, "next_question_id": 1}
        connection.execute(insert(projects).values(identity | ProjectSettings().row() | numbers))


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    import dibs_schema.migrations

    config = Config()
    folder = Path(dibs_schema.migrations.__file__).parent
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _MIGRATION:
        command.upgrade(config, HEAD)
