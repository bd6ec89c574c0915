"""The only place that names an engine: opens a database, and runs verbs on it in transactions."""

from __future__ import annotations

from types import ModuleType

from dibs.database.database import Database
from dibs.database.engine import Place
from dibs.database.write_job import Upkeep, VerbJob, WriteJob
from dibs.settings import Settings

__all__ = ["Database", "Upkeep", "VerbJob", "WriteJob", "file_driver", "find_place", "open_database"]


def open_database(settings: Settings, *, looking: bool = False) -> Database:
    """The database that `settings` name. Nothing is opened yet: the first transaction does that.

    One that is opened for `looking` must be there, and in the newest schema; nothing of it changes, not even where
    it stands on the disk. Raises InvalidInput where the settings name no engine that this version serves.
    """
    return Database(find_place(settings, looking=looking), settings)


def find_place(settings: Settings, *, looking: bool = False) -> Place:
    """Where the database is that `settings` name. Raises InvalidInput as `open_database` does."""
    if settings.is_server_url:
        from dibs.database.postgres import place
    else:
        from dibs.database.sqlite import place

    return place(settings, looking=looking)


def file_driver() -> ModuleType:
    """The library that this process opens database files with; it must use no other beside it."""
    from dibs.database.sqlite.driver import driver

    return driver()
