"""Turn SQLite's errors into refusals.

Source: https://www.sqlite.org/rescode.html (the low byte of a result code is the primary one).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from dibs.database.engine import EMPTIED, Meaning
from dibs.database.sqlite.lock_holders import holder_of
from dibs_schema.refusals import Busy, DatabaseDamaged, DiskFull, OutcomeUnknown, ReadOnly, Refusal


def meaning(path: Path, error: BaseException) -> Refusal | None:
    """Return the refusal for an error of the driver, or None if the error is a bug of Dibs."""
    name = getattr(error, "sqlite_errorname", None) or ""
    refuse = _MEANING.get("_".join(name.split("_")[:2]))
    if isinstance(error, ValueError) or str(error).startswith("Could not decode to UTF-8"):
        refuse = _damaged  # a TEXT value that is not UTF-8, or JSON that cannot be parsed
    if refuse is None and str(error).startswith(("no such table", "no such column")):
        refuse = EMPTIED.of
    return refuse(path) if refuse is not None else None


def unknown_outcome(path: Path, error: BaseException) -> OutcomeUnknown | None:
    """Return the refusal for a commit whose sync failed, or None if the commit failed otherwise.

    The log holds the whole record, but no reader uses it, and the next commit overwrites it. If every process crashes
    before that, recovery treats the record as committed. A driver may report the failed sync as a failed read or write.
    Source: https://www.sqlite.org/walformat.html, "Recovery".
    """
    name = getattr(error, "sqlite_errorname", None) or ""
    sync_failed = name in ("SQLITE_IOERR", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_DIR_FSYNC")
    if not sync_failed or not isinstance(_input_or_output(path), DatabaseDamaged):
        return None
    return OutcomeUnknown(
        f"The disk of {path} failed during the commit: the change is not visible now, but a crash of all servers could "
        "restore it. Call again with the same request_id or claim_token. The server releases a claim without either: "
        "claim again. Before you repeat anything else, read what is there. A person must check the disk."
    )


def unsynced(path: Path, *, marked: bool = True) -> OutcomeUnknown:
    """Return the refusal for a change that is committed, and whose sync failed. `marked` says that others know of it."""
    warning = (
        ""
        if marked
        else " The failure could not be recorded next to the database: recover it before a server is started again."
    )
    return OutcomeUnknown(
        f"The disk of {path} failed to keep this change: all servers see it now, and a power cut could undo it. From now on "
        "every write is refused. Report this to your user: a person must check the disk, and run `dibs doctor --recover`."
        f"{warning}"
    )


def not_recovered(path: Path) -> DatabaseDamaged:
    """Return the refusal of a write after a sync failed anywhere."""
    return DatabaseDamaged(
        f"The disk of {path} failed to keep a change that all servers see, so that writes could build on what a power "
        "cut undoes. Nothing was changed. A person must check the disk, and run `dibs doctor --recover`."
    )


def unwritable(path: Path, why: str) -> ReadOnly:
    """Return the refusal for a file that cannot be written, or whose folder cannot; `why` is the reason."""
    return ReadOnly(
        f"{path} cannot be opened or written: {why}. Make the file and its folder writable for this user, "
        "or name another database with --db or DIBS_DB."
    )


def unopened(path: Path, error: OSError) -> Refusal:
    """Return the refusal for a file of the database that cannot be opened or created."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _FULL.of(path)
    return unwritable(path, error.strerror or str(error))


def _input_or_output(path: Path) -> Refusal:
    """Return the refusal for a failed read or write: a disk that is full (under 1 MiB free), read-only or bad."""
    if shutil.disk_usage(path.parent).free < 1024 * 1024:
        return _FULL.of(path)
    return unwritable(path, "its file system is read-only") if _is_read_only(path) else _UNREADABLE.of(path)


def _is_read_only(path: Path) -> bool:
    """Return whether the file system rejects a change of the lock file.

    After an error, ext4 rejects every change although it is mounted for writing: the mount's flags do not show that.
    """
    try:
        os.utime(f"{path}.lock")
    except OSError as error:
        return error.errno == errno.EROFS
    return False


_NO_DATABASE = Meaning(
    DatabaseDamaged,
    "{} is not a SQLite database, or its beginning was overwritten. Nothing was changed. "
    "Name the right file with --db or DIBS_DB, or restore a backup with `dibs restore`.",
)
_UNREADABLE = Meaning(
    DatabaseDamaged,
    "The disk or file system of {} failed to read or write. Nothing was changed. Stop the agents and check "
    "the system's log; do not delete the -wal file next to it, which holds recent commits.",
)
_FULL = Meaning(DiskFull, "There is no room to write {}. Nothing was changed. Free some space and call again.")
_DAMAGED = Meaning(
    DatabaseDamaged,
    "SQLite reports that {} is damaged. Nothing was changed. Stop the agents and restore a backup with "
    "`dibs restore`; do not delete the -wal file next to it, which holds recent commits. ",
)


def quarantined(path: Path) -> Path:
    """Return the path of the copy of a damaged database that `dibs doctor --quarantine` makes."""
    return Path(f"{path}.damaged")


def _damaged(path: Path) -> Refusal:
    copy, refusal = quarantined(path), _DAMAGED.of(path)
    there = copy.exists()
    refusal.fact += f"A copy of it is {copy}." if there else "`dibs doctor --quarantine` keeps a copy of it."
    refusal.details |= {"copy": str(copy)} if there else {}
    return refusal


def _locked(path: Path) -> Refusal:
    holder = holder_of(path)
    return Busy(f"{path} is locked by {holder or 'another program'}. The database itself is healthy.", holder=holder)


_MEANING: dict[str, Callable[[Path], Refusal]] = {
    "SQLITE_BUSY": _locked,
    "SQLITE_LOCKED": _locked,
    "SQLITE_CORRUPT": _damaged,
    "SQLITE_NOTADB": _NO_DATABASE.of,
    "SQLITE_IOERR": _input_or_output,
    "SQLITE_FULL": _FULL.of,
    "SQLITE_READONLY": lambda path: unwritable(path, "it is read-only"),
    "SQLITE_PERM": lambda path: unwritable(path, "permission is denied"),
    "SQLITE_CANTOPEN": lambda path: unwritable(path, "it cannot be opened"),
    "SQLITE_AUTH": lambda path: unwritable(path, "access is denied"),
}
