"""What SQLite's errors mean for a caller, in our own words.

Source: https://www.sqlite.org/rescode.html (the low byte of a result code is the primary one).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from dibs_schema.refusals import Busy, DatabaseDamaged, DatabaseReplaced, DiskFull, ReadOnly, Refusal

NEARLY_FULL = 1024 * 1024
"""Bytes; with less than that a failed write is for want of room."""


def meaning(path: Path, error: BaseException) -> Refusal | None:
    """The refusal that a driver's error stands for, or None where it is a mistake of ours."""
    name = getattr(error, "sqlite_errorname", None) or ""
    refuse = _MEANING.get("_".join(name.split("_")[:2]))
    if refuse is None and str(error).startswith(("no such table", "no such column")):
        refuse = _emptied
    return refuse(path) if refuse is not None else None


def unwritable(path: Path, why: str) -> ReadOnly:
    """The file or its folder cannot be written, because of `why`."""
    return ReadOnly(
        f"{path} cannot be opened or written: {why}. Make the file and its folder writable for this user, "
        "or name another database with --db or DIBS_DB.",
    )


def _emptied(path: Path) -> Refusal:
    return DatabaseReplaced(
        f"{path} no longer holds the backlog's tables: it was emptied or replaced. Nothing was written. "
        "Restart the server to serve what is there now."
    )


def _no_database(path: Path) -> Refusal:
    return DatabaseDamaged(
        f"{path} is not a SQLite database, or its beginning was overwritten. Nothing was changed. "
        "Name the right file with --db or DIBS_DB; `dibs doctor` tells more."
    )


def _input_or_output(path: Path) -> Refusal:
    """A failed read or write; where the disk is full, the shared memory beside the log cannot grow either."""
    return _full(path) if shutil.disk_usage(path.parent).free < NEARLY_FULL else _damaged(path)


def _full(path: Path) -> Refusal:
    return DiskFull(f"There is no room to write {path}. Nothing was changed. Free some space and call again.")


def _damaged(path: Path) -> Refusal:
    return DatabaseDamaged(
        f"SQLite reports that {path} is damaged. Nothing was changed. Stop the agents, run `dibs doctor`, "
        "and bring back a backup; do not delete the -wal file beside it, which holds recent commits."
    )


_MEANING: dict[str, Callable[[Path], Refusal]] = {
    "SQLITE_BUSY": lambda path: Busy(f"{path} is locked by another program. The database itself is healthy."),
    "SQLITE_LOCKED": lambda path: Busy(
        f"{path} is locked by another program. The database itself is healthy."
    ),
    "SQLITE_CORRUPT": _damaged,
    "SQLITE_NOTADB": _no_database,
    "SQLITE_IOERR": _input_or_output,
    "SQLITE_FULL": _full,
    "SQLITE_READONLY": lambda path: unwritable(path, "it is read-only"),
    "SQLITE_PERM": lambda path: unwritable(path, "permission is denied"),
    "SQLITE_CANTOPEN": lambda path: unwritable(path, "it cannot be opened"),
    "SQLITE_AUTH": lambda path: unwritable(path, "access is denied"),
}
