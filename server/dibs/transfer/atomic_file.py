"""Files that appear whole or not at all: written in a temporary folder, synced, and then given their name."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dibs.database.file_inspection import checkpoint, exclusive_access, is_unsafe, mark_of, prepare_folder
from dibs.platform.atomic_swap import exchange_names
from dibs.platform.durable_sync import sync_file, sync_folder
from dibs.platform.file_locks import locked_folder
from dibs.platform.users import take_owner_and_mode
from dibs_schema.refusals import Busy, DiskFull, InvalidInput, ReadOnly

PREFIX, SUFFIX = ".dibs-", ".partial"
"""The beginning and the end of a temporary folder's name."""
LOGS = ("-wal", "-journal")
"""Suffixes of the files that may contain commits of a database."""

_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@contextmanager
def partial_folder(parent: Path) -> Iterator[Path]:
    """Create a private folder in `parent`, on the same file system, and delete it at the end.

    It also deletes the folders that killed processes left, which are no longer locked.
    """
    for left in parent.glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(OSError), locked_folder(left):
            shutil.rmtree(left, ignore_errors=True)
    made = parent / f"{PREFIX}{secrets.token_hex(6)}{SUFFIX}"
    new = made.with_suffix(".new")
    try:  # a signal may arrive as soon as the folder exists
        new.mkdir(mode=0o700)
        with locked_folder(new, optional=True):
            new.rename(made)  # so the folder never has this name without its lock
            yield made
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(made, ignore_errors=True)


def build_folder(folder: Path) -> Path:
    """Return `folder`, or this machine's temporary folder if databases do not work on that file system."""
    return Path(tempfile.gettempdir()) if is_unsafe(folder) else folder


def copy_into(folder: Path, made: Path) -> Path:
    """Copy the file to `folder`, unless it is there already, and return its path."""
    if made.parent == folder:
        return made
    copy = folder / made.name
    shutil.copyfile(made, copy)
    copy.chmod(0o600)
    return copy


@contextmanager
def errors_named(target: Path) -> Iterator[None]:
    """Create the folder of `target`. Errors in the block become DiskFull or ReadOnly, which name `target`."""
    try:
        prepare_folder(target)
        yield
    except DiskFull as refusal:
        raise _no_space(target) from refusal
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_space(target) from error
        raise ReadOnly(
            f"{target} cannot be written: {error.strerror}. Nothing was changed. Make its folder writable for this "
            "user, or name another place."
        ) from error


def _no_space(target: Path) -> DiskFull:
    return DiskFull(
        f"There is no space left to write {target}. Nothing was changed, and no partial file is left. Free some space, "
        "or name another place."
    )


def refuse_unfinished(made: Path) -> None:
    """Raise DiskFull if a closed database still has a log, which did not fit into its file."""
    if any(Path(f"{made}{log}").exists() for log in LOGS):
        raise _no_space(made)


def name_taken(target: Path) -> InvalidInput:
    """Return the refusal to replace an existing file."""
    return InvalidInput(
        f"{target} exists already and was not changed. Name another file, or replace a backup with --force.",
        field="target",
    )


def put_in_place(made: Path, target: Path, *, replace: bool = False) -> None:
    """Sync a file that no process has open, and rename it to `target`.

    Raises InvalidInput if `target` exists, unless `replace` is true.
    """
    sync_file(made)
    if replace:
        made.replace(target)
    else:
        _link_or_rename(made, target)
    sync_folder(target.parent)


def _link_or_rename(made: Path, target: Path) -> None:
    try:
        target.hardlink_to(made)
    except FileExistsError as error:
        raise name_taken(target) from error
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if target.exists():  # without hard links, the check and the rename are two steps
            raise name_taken(target) from error
        made.rename(target)


def replace_unchanged(made: Path, target: Path, is_unchanged: Callable[[Path], bool]) -> None:
    """Sync a new file and replace `target` by it, with the owner and mode of `target`.

    `is_unchanged` judges the old file after the exchange, so that no change in between is lost.
    Raises Busy, and changes nothing, if another program has changed it; ReadOnly if it is marked as read-only.
    """
    old = target.stat()
    marked = not old.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
    if marked or not os.access(target, os.W_OK):  # the mark counts for root too
        raise ReadOnly(f"{target} is read-only. Nothing was changed. Make it writable, or name another file.")
    with made.open("rb") as file:
        take_owner_and_mode(file.fileno(), old)
    sync_file(made)
    exchange_names(made, target)
    if not is_unchanged(made):
        exchange_names(made, target)
        raise Busy(f"Another program has changed {target} in the meantime. It was left as it is now. Run this again.")
    sync_folder(target.parent)


def set_logs_aside(target: Path) -> Path | None:
    """Rename the log of a deleted database, so that a new database does not read it; return the new name, if any."""
    aside = _aside_name(target)
    left = [log for log in LOGS if Path(f"{target}{log}").exists()]
    for log in left:
        Path(f"{target}{log}").rename(f"{aside}{log}")
    Path(f"{target}-shm").unlink(missing_ok=True)
    mark_of(target).unlink(missing_ok=True)
    return aside if left else None


def exchange(made: Path, target: Path) -> Path:
    """Replace the database `target` by `made`, and return the new name of the old one.

    First the log is merged into the old database, because two files cannot be renamed in one step. Then both
    databases exchange their names in one step, so the path always leads to one whole database.
    Raises Busy if a process has it open.
    """
    aside = _aside_name(target)
    whole = checkpoint(target)
    with exclusive_access(target):
        _remove_logs(target, aside, whole=whole)
        sync_file(made)
        made.rename(aside)  # no cleanup deletes a file of this name, whichever of the two it is
        sync_folder(target.parent)
        exchange_names(aside, target)
        sync_folder(target.parent)
        mark_of(target).unlink(missing_ok=True)  # it was about the old database
    return aside


def _remove_logs(target: Path, aside: Path, *, whole: bool) -> None:
    """Remove the logs of `target`, which the new database would read as its own.

    The log of a damaged database could not be merged; it is kept next to that database.
    """
    for log in LOGS:
        path = Path(f"{target}{log}")
        if not path.exists():
            continue
        if whole and path.stat().st_size:
            raise Busy(
                f"{target} was opened just now. Nothing was changed. Stop the servers that use it, then call again."
            )
        path.unlink() if whole else path.rename(f"{aside}{log}")
    Path(f"{target}-shm").unlink(missing_ok=True)


def time_stamp() -> str:
    """Return the UTC time to the millisecond in a form for file names, which sort by it."""
    now = time.time()
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}.{int(now * 1000) % 1000:03d}Z"


def _aside_name(target: Path) -> Path:
    return target.with_name(f"{target.name}.{time_stamp()}.aside")
