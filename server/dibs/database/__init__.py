"""The only place that names an engine: opens a database, and runs verbs on it in transactions."""

from __future__ import annotations

from types import ModuleType

from dibs.database.access import Database
from dibs.database.engine import Place
from dibs.settings import Settings

__all__ = ["Database", "file_driver", "find_place", "open_database"]


def open_database(settings: Settings) -> Database:
    """The database that `settings` name. Nothing is opened yet: the first transaction does that.

    Raises InvalidInput where the settings name no engine that this version serves.
    """
    return Database(find_place(settings), settings)


def find_place(settings: Settings) -> Place:
    """Where the database is that `settings` name. Raises InvalidInput as `open_database` does."""
    if settings.is_server_url:
        from dibs.database.postgres import place
    else:
        from dibs.database.sqlite import place

    return place(settings)


def file_driver() -> ModuleType:
    """The library that this process opens database files with; it must use no other beside it."""
    from dibs.database.sqlite.library import driver

    return driver()
