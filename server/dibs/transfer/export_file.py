"""The file that an export is written to: it appears whole or not at all, and replaces nothing but an earlier export."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path
from typing import IO

from dibs.regular_file import read_regular, refuse_irregular
from dibs.transfer import atomic_file
from dibs.transfer.formats.exported import BEGINNING_LENGTH, is_export
from dibs_schema.refusals import InvalidInput


def refuse_taken(target: Path, *, force: bool) -> None:
    """Raise InvalidInput unless an export may be written to `target`: `force` allows replacing any regular file."""
    refuse_irregular(target, "output", follow=False)
    if force or not target.exists() or is_export(read_regular(target, BEGINNING_LENGTH)):
        return
    raise InvalidInput(
        f"{target} is not an export of Dibs, and was not changed. `dibs export --in-place` changes the states in a file "
        "that was imported; --force replaces the whole file; or name another one.",
        field="output",
    )


def save(written: IO[bytes], target: Path, *, force: bool) -> bool:
    """Write an export to `target`, unless it is there already; return whether the file has changed.

    Raises the refusals of `refuse_taken`, Busy if another program changes the file now, DiskFull, ReadOnly.
    """
    with atomic_file.errors_named(target), atomic_file.partial_folder(target.parent) as folder:
        made = folder / "export"
        with made.open("wb") as file:
            shutil.copyfileobj(written, file)
        before = _version(target)
        refuse_taken(target, force=force)
        if before is None:
            atomic_file.put_in_place(made, target)
        elif filecmp.cmp(made, target, shallow=False):
            return False
        else:
            atomic_file.replace_unchanged(made, target, lambda old: _version(old) == before)
    return True


def _version(path: Path) -> tuple[int, int, int] | None:
    """Return a value that changes when a file is replaced or written, or None if there is no file."""
    try:
        found = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
