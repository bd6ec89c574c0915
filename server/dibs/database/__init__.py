"""Open a database and run verbs on it in transactions. Only this package names an engine."""

from __future__ import annotations

from types import ModuleType

from dibs.database.database import Database
from dibs.database.engine import DatabaseLocation
from dibs.database.write_job import SnapshotNeeded, Upkeep, VerbJob, WriteJob
from dibs.settings import Settings

__all__ = [
    "Database",
    "SnapshotNeeded",
    "Upkeep",
    "VerbJob",
    "WriteJob",
    "file_driver",
    "locate_database",
    "open_database",
]


def open_database(settings: Settings, *, read_only: bool = False) -> Database:
    """Return the database of `settings`. The first transaction opens it.

    A `read_only` database must exist and have the newest schema; neither it nor a file next to it changes.
    Raises InvalidInput if Dibs does not serve the kind of database that the settings name.
    """
    return Database(locate_database(settings, read_only=read_only), settings)


def locate_database(settings: Settings, *, read_only: bool = False) -> DatabaseLocation:
    """Return the location of the database of `settings`. Raises InvalidInput as `open_database` does."""
    if settings.is_server_url:
        from dibs.database.postgres import locate
    else:
        from dibs.database.sqlite import locate

    return locate(settings, read_only=read_only)


def file_driver() -> ModuleType:
    """Return the SQLite module that this process uses. The process must not load a second one."""
    from dibs.database.sqlite.driver import driver

    return driver()
