"""SQLite in WAL mode: the embedded engine. Importing this loads no database library."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dibs.database.engine import DatabaseLocation
from dibs.database.sqlite.filesystems import prepare_folder, refuse_path
from dibs.settings import Settings

if TYPE_CHECKING:
    from dibs.database.sqlite.engine import SQLite


def locate(settings: Settings, *, read_only: bool = False) -> DatabaseLocation:
    """Return the location of the settings' file; with `read_only` nothing is created, written or removed there."""
    path = settings.database_file()

    def make_engine() -> SQLite:
        from dibs.database.sqlite.engine import SQLite

        if read_only:
            refuse_path(path)
        else:
            prepare_folder(path)
        return SQLite(path, settings.synchronous, read_only=read_only)

    def exists() -> bool:
        refuse_path(path)
        return path.exists()

    label = os.fsencode(path).decode(errors="backslashreplace")  # every face prints it
    # More than two readers only compete for the interpreter.
    return DatabaseLocation(label=label, file=path, readers=2, make_engine=make_engine, exists=exists)
