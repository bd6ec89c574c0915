"""The schema's version in a database, and the migrations that bring it to the newest."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError

from dibs_schema.tables import HEAD

OURS = [
    "alembic_version",
    "projects",
    "features",
    "dependencies",
    "events",
    "questions",
    "requests",
    "writers",
]
"""The tables that each version since the first has. Where some of them stand alone, they are another program's."""

_ONE_AT_A_TIME = threading.Lock()
"""Alembic keeps the migration that it runs in a module, so that two of one process would mix."""
_NO_SUCH_TABLE = ("no such table", "does not exist")


def schema_version(connection: Connection) -> str | None:
    """The newest migration that the database has, or None where it is not a backlog yet."""
    try:
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    except DatabaseError as error:
        if any(words in str(error.orig) for words in _NO_SUCH_TABLE):
            return None
        raise


def migrate(connection: Connection) -> None:
    """Bring the schema to the newest, inside the transaction that the caller holds and commits."""
    from alembic import command
    from alembic.config import Config

    import dibs_schema.migrations

    config = Config()
    config.set_main_option(
        "script_location", str(Path(dibs_schema.migrations.__file__).parent).replace("%", "%%")
    )
    config.attributes["connection"] = connection
    with _ONE_AT_A_TIME:
        command.upgrade(config, HEAD)
