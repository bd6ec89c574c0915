"""The folder of a database file, and the file systems on which processes cannot share a write-ahead log."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from dibs.platform.durable_sync import sync_folder
from dibs.platform.file_systems import file_system
from dibs.regular_file import hide_from_git, refuse_irregular
from dibs_schema.refusals import InvalidInput, ReadOnly, UnsafeFilesystem

LONGEST_PATH = 504
"""Bytes of a path that SQLite opens: 512 with its longest suffix. Source: MAX_PATHNAME in os_unix.c, and pager.c."""


def is_unsafe(path: Path) -> bool:
    """Return whether the file system of a path may fail to share memory or locks between all processes.

    Source: https://www.sqlite.org/wal.html, "All processes using a database must be on the same host".
    """
    found = file_system(path)
    return found is not None and not found.is_local


def refuse_unsafe(path: Path) -> None:
    """Raise UnsafeFilesystem if processes cannot share a write-ahead log on the file system of `path`."""
    found = file_system(path)
    if found is not None and not found.is_local:
        raise UnsafeFilesystem(
            f"{path} is on {found.kind}, where processes cannot safely share a SQLite write-ahead log. "
            "Put the backlog on a local disk with --db, or serve it from PostgreSQL (--db postgresql://…).",
            file_system=found.kind,
        )


def refuse_path(path: Path) -> None:
    """Refuse a path that cannot lead to a database file, and one whose other files are not regular files.

    Raises InvalidInput, and ReadOnly if a folder on the way may not be entered.
    """
    try:
        refuse_irregular(path, "db")
        if path.parent.is_symlink() and not path.parent.exists():
            raise InvalidInput(
                f"{path.parent} is a symbolic link to a folder that does not exist. Nothing was changed. Make that folder, "
                "or remove the link.",
                field="db",
            )
        place = os.fsencode(path.resolve())
        # Reads of an existing database need no lock.
        for suffix in ("-wal", "-shm", "-journal", *(() if path.exists() else (".lock",))):
            refuse_irregular(Path(os.fsdecode(place) + suffix), "db", follow=False)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise _unreachable(path, error) from error
        place = b"." * (LONGEST_PATH + 1)
    if len(place) > LONGEST_PATH:
        raise InvalidInput(
            f"{path} is too long for SQLite, which opens paths of at most {LONGEST_PATH} bytes. Name a shorter one.",
            field="db",
        )
    try:
        place.decode()
    except UnicodeDecodeError:
        raise InvalidInput(
            f"{place.decode(errors='backslashreplace')} is not UTF-8. Nothing was changed. Name a path that is.",
            field="db",
        ) from None


def prepare_folder(path: Path) -> None:
    """Make the folder of the database; a folder `.dibs` gets a .gitignore for all that is in it.

    Raises InvalidInput if the path cannot lead to a file, and ReadOnly if the folder cannot be made.
    """
    refuse_path(path)
    try:
        if not path.exists():
            _make_folder(path.parent)
        if path.parent.name == ".dibs":
            hide_from_git(path.parent)
    except FileExistsError as error:
        raise ReadOnly(f"{path.parent} is a file, not a folder. Name another database with --db or DIBS_DB.") from error
    except OSError as error:
        raise _unreachable(path, error) from error


def _unreachable(path: Path, error: OSError) -> ReadOnly:
    return ReadOnly(
        f"{path.parent} cannot be entered, made or written: {error.strerror}. Make it writable for this user, "
        "or name another database with --db or DIBS_DB."
    )


def _make_folder(folder: Path) -> None:
    """Make the folder, and sync the folders above it: SQLite syncs only the folder itself.

    This also holds for an existing folder, since another process may have made it and not synced it yet.
    Source: fsync(2), on the directory that contains a file; SQLite's unixSync, which ignores the same errors.
    """
    new = [one for one in folder.parents if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for parent in {folder.parent, *(one.parent for one in new)}:
        with suppress(OSError):  # this user cannot read the folder, or its file system cannot sync it
            sync_folder(parent)
