"""Quarantine: keep a copy of a damaged database, before a backup is restored in its place."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from dibs.database.file_inspection import copy_pages, quarantined
from dibs.transfer import atomic_file
from dibs_schema.refusals import InvalidInput


def quarantine(file: Path) -> Path:
    """Copy a database's pages into a file next to it, and return its path. An existing copy is not changed.

    The database is only read. Raises NotFound, DatabaseDamaged if SQLite cannot read all of it, ReadOnly.
    """
    copy = quarantined(file.resolve())
    if not copy.exists():
        with atomic_file.errors_named(copy), atomic_file.partial_folder(copy.parent) as folder:
            copy_pages(file, folder / "copy")
            with suppress(InvalidInput):  # another process has made it meanwhile
                atomic_file.put_in_place(folder / "copy", copy)
    return copy
