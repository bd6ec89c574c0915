"""The file of a backup, or of what is restored from one: made apart, and then put in place whole, or not at all."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dibs.database.files import (
    checkpoint,
    exclusive_access,
    file_system,
    is_unsafe,
    prepare_folder,
    refuse_unsafe,
)
from dibs_schema.refusals import Busy, DiskFull, InvalidInput, ReadOnly

PREFIX, SUFFIX = ".dibs-", ".partial"
"""What a folder is called in which a file is made."""

LOGS = ("-wal", "-journal")
"""What may stand beside a database and hold commits of it."""

_STAMP = "%Y%m%dT%H%M%S"


@contextmanager
def workshop(folder: Path) -> Iterator[Path]:
    """A private folder in `folder`, on the same file system, which is gone at the end.

    What runs left that were killed is removed: nobody has the lock of theirs any more.
    """
    for left in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(OSError), _locked(left):
            shutil.rmtree(left, ignore_errors=True)
    made = folder / f"{PREFIX}{secrets.token_hex(6)}{SUFFIX}"
    new = made.with_suffix(".new")
    try:  # from before it is there, for a signal may come at any moment
        new.mkdir(mode=0o700)
        with _locked(new, if_it_can=True):
            new.rename(made)  # whoever finds it by its name finds it locked
            yield made
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(made, ignore_errors=True)


def place_to_make(folder: Path) -> Path:
    """Where a file for `folder` can be made: there, or, if databases do not work there, on this machine's own disk."""
    return Path(tempfile.gettempdir()) if is_unsafe(file_system(folder)) else folder


def refuse_place(file: Path) -> None:
    """Raise UnsafeFilesystem where no database can be served from."""
    refuse_unsafe(file)


def bring_over(made: Path, folder: Path) -> Path:
    """The same file on the file system of `folder`; one that is there already stays where it is."""
    if made.parent == folder:
        return made
    there = folder / made.name
    shutil.copyfile(made, there)
    there.chmod(0o600)
    return there


@contextmanager
def _locked(folder: Path, *, if_it_can: bool = False) -> Iterator[None]:
    """Hold a folder's lock, which some file systems do not have: then nobody sweeps there. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(*((OSError,) if if_it_can else ())):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def said_of(target: Path) -> Iterator[None]:
    """Say of `target` what goes wrong with what is made for it elsewhere. Raises DiskFull, ReadOnly."""
    try:
        prepare_folder(target)
        yield
    except DiskFull as refusal:
        raise _no_room(target) from refusal
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_room(target) from error
        raise ReadOnly(
            f"{target} cannot be written: {error.strerror}. Nothing was changed. Make its folder writable for this "
            "user, or name another place."
        ) from error


def _no_room(target: Path) -> DiskFull:
    return DiskFull(
        f"There is no room to write {target}. Nothing was changed, and nothing was left behind. Free some space, or "
        "name another place."
    )


def refuse_unfinished(made: Path) -> None:
    """Raise DiskFull where a file that was closed has still a log: it could not take in what was committed."""
    if any(Path(f"{made}{log}").exists() for log in LOGS):
        raise _no_room(made)


def put_in_place(made: Path, target: Path, *, replace: bool = False) -> None:
    """Give a file that nobody has open its name, once it is on the disk; what has that name stays, unless `replace`.

    Raises InvalidInput where the name is taken.
    """
    _sync(made)
    if replace:
        made.replace(target)
    else:
        _name_once(made, target)
    _sync(target.parent)


def _name_once(made: Path, target: Path) -> None:
    taken = InvalidInput(
        f"{target} exists already, and is left as it is. Name another file, or replace it with --force.",
        field="target",
    )
    try:
        target.hardlink_to(made)
    except FileExistsError as error:
        raise taken from error
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        if target.exists():  # a file system without hard links cannot look and name in one step
            raise taken from error
        made.rename(target)


def set_logs_aside(target: Path) -> Path | None:
    """Take the log of a database that is gone out of the way of a new one, which would take it for its own."""
    aside = beside(target)
    left = [log for log in LOGS if Path(f"{target}{log}").exists()]
    for log in left:
        Path(f"{target}{log}").rename(f"{aside}{log}")
    Path(f"{target}-shm").unlink(missing_ok=True)
    return aside if left else None


def exchange(made: Path, target: Path) -> Path:
    """Put `made` where `target` is, which gets another name; returns that name.

    A database is one file when it changes its name, since two files cannot do so at once: what is in its log is
    taken in first. Then both files change their names in one step, so that at every moment there is one whole
    database at the path, and none has two names. Raises Busy where a process has it open.
    """
    aside = beside(target)
    whole = checkpoint(target)
    with exclusive_access(target):
        _clear_of_logs(target, aside, whole=whole)
        _sync(made)
        made.rename(aside)  # from here on nothing sweeps it away, whichever of the two it is
        _sync(target.parent)
        swap(aside, target)
        _sync(target.parent)
    return aside


def _clear_of_logs(target: Path, aside: Path, *, whole: bool) -> None:
    """Leave no log beside `target`, which the database that comes would take for its own.

    The log of a damaged database, which could not be taken in, goes aside with it.
    """
    for log in LOGS:
        there = Path(f"{target}{log}")
        if not there.exists():
            continue
        if whole and there.stat().st_size:
            raise Busy(
                f"{target} was opened just now. Nothing was changed. Stop the servers that use it, then call again."
            )
        there.unlink() if whole else there.rename(f"{aside}{log}")
    Path(f"{target}-shm").unlink(missing_ok=True)


def swap(one: Path, other: Path) -> None:
    """Let two files have each other's names, at once where the system can (Linux), else one after the other.

    Source: renameat2(2), RENAME_EXCHANGE.
    """
    renameat2 = (
        getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    )
    if renameat2 is not None and not renameat2(
        _HERE, os.fsencode(one.absolute()), _HERE, os.fsencode(other.absolute()), _EXCHANGE
    ):
        return
    if renameat2 is not None and (failed := ctypes.get_errno()) not in (
        errno.ENOSYS,
        errno.EINVAL,
        errno.ENOTSUP,
    ):
        raise OSError(failed, os.strerror(failed), str(other))
    between = one.with_name(f"{one.name}.new")
    one.rename(between)
    other.rename(one)
    between.rename(other)


_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stamp() -> str:
    """The time as it stands in the names of files: in their order, to the millisecond."""
    now = time.time()
    return f"{time.strftime(_STAMP, time.gmtime(now))}.{int(now * 1000) % 1000:03d}Z"


def beside(target: Path) -> Path:
    """A name beside `target` for what was there until now."""
    return target.with_name(f"{target.name}.{stamp()}.aside")


def backup_name(of: str) -> str:
    """The name of a backup that is made now, of a file or a project of that name."""
    return f"{_plain(of)}.{stamp()}.backup"


def is_backup_name(name: str, of: str) -> bool:
    """Whether `backup_name` has made the name."""
    return re.fullmatch(rf"{re.escape(_plain(of))}\.\d{{8}}T\d{{6}}\.\d{{3}}Z\.backup", name) is not None


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)
