"""Recover a database that refuses writes because its disk failed to keep a change."""

from __future__ import annotations

from pathlib import Path

from dibs.database.file_inspection import checkpoint, mark_of
from dibs.platform.durable_sync import sync_file, sync_folder
from dibs_schema.refusals import DatabaseDamaged


def recover(file: Path) -> bool:
    """Put everything that the database has on disk, and allow writes again. Returns False if no failure was recorded.

    The log is read again, checked by its checksums, and written into the file. Whatever the disk lost was never
    acknowledged. Raises Busy while a process has the file open, and DatabaseDamaged if a page is damaged or the disk
    fails again.
    """
    file = file.resolve()
    mark = mark_of(file)
    was_marked = mark.exists()
    if not checkpoint(file):
        raise _failed_again(file)
    try:
        sync_file(file)
        mark.unlink(missing_ok=True)
        sync_folder(file.parent)
    except OSError as error:
        raise _failed_again(file) from error
    return was_marked


def _failed_again(file: Path) -> DatabaseDamaged:
    return DatabaseDamaged(
        f"{file} could not be written whole, or a page of it is damaged. Writes stay refused. Check the disk, and restore "
        "a backup with `dibs restore`; do not delete the -wal file next to it, which holds recent commits."
    )
