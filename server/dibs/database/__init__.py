"""The only place that names an engine: opens a database, and runs verbs on it in transactions."""

from __future__ import annotations

from types import ModuleType

from dibs.database.database import Database
from dibs.database.engine import DatabaseLocation
from dibs.database.write_job import Upkeep, VerbJob, WriteJob
from dibs.settings import Settings

__all__ = ["Database", "Upkeep", "VerbJob", "WriteJob", "file_driver", "locate_database", "open_database"]


def open_database(settings: Settings, *, read_only: bool = False) -> Database:
    """Return the database that `settings` name. The first transaction opens it.

    A `read_only` database must exist already, in the newest schema. Nothing of it changes, and no file beside it.
    Raises InvalidInput where the settings name no engine that this version serves.
    """
    return Database(locate_database(settings, read_only=read_only), settings)


def locate_database(settings: Settings, *, read_only: bool = False) -> DatabaseLocation:
    """Return where the database is that `settings` name. Raises InvalidInput as `open_database` does."""
    if settings.is_server_url:
        from dibs.database.postgres import locate
    else:
        from dibs.database.sqlite import locate

    return locate(settings, read_only=read_only)


def file_driver() -> ModuleType:
    """Return the SQLite library of this process; it must load no other one."""
    from dibs.database.sqlite.driver import driver

    return driver()
