"""Putting a new text where an old one is: whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from dibs.registration.plan import Change
from dibs_schema.refusals import Busy, ReadOnly


def write(change: Change) -> None:
    """Write the change's new text.

    Raises Busy where someone else has changed the file since it was read, ReadOnly where it cannot be written.
    """
    target = Path(os.path.realpath(change.file))  # a link stays, and what it leads to is written
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        now = target.read_bytes() if target.exists() else None
        if now != (None if change.before is None else change.before.encode()):
            raise Busy(
                f"{change.file} was changed meanwhile by someone else. It was left alone; run this again."
            )
        _replace(target, change.after.encode())
    except OSError as error:
        raise ReadOnly(f"{change.file} cannot be written: {error.strerror}. It was left alone.") from error


def _replace(target: Path, content: bytes) -> None:
    """Write beside the target, bring that to the disk, and give it the target's name and mode.

    Source: rename(2): there is no moment in which the name leads to anything but the old file or the new one.
    """
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if target.exists():
                _like(target, file.fileno())
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _like(target: Path, descriptor: int) -> None:
    """Give the new file the old one's owner and mode."""
    old = target.stat()
    with suppress(PermissionError):  # only root gives files away
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
