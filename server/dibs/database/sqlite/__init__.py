"""SQLite in WAL mode: the embedded engine. Importing this loads no database library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dibs.database.engine import Place
from dibs.settings import Settings

if TYPE_CHECKING:
    from dibs.database.sqlite.engine import SQLite

READERS = 2
"""Reads beside each other; more of them only compete for the interpreter."""


def place(settings: Settings, *, looking: bool = False) -> Place:
    """The file that the settings name; whoever is only `looking` makes, writes and removes nothing there."""
    path = settings.database_file()

    def make_engine() -> SQLite:
        from dibs.database.sqlite.bootstrap import prepare_folder
        from dibs.database.sqlite.engine import SQLite

        if not looking:
            prepare_folder(path)
        return SQLite(path, settings.synchronous, looking=looking)

    return Place(label=str(path), file=path, readers=READERS, make_engine=make_engine, exists=path.exists)
