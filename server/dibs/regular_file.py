"""Opens regular files only: opening a FIFO blocks, and opening a device may act on it."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from dibs_schema.refusals import InvalidInput

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link",
}


def irregularity(path: Path, *, follow: bool = True) -> str | None:
    """Return what is at the path instead of a regular file, or None for a regular file or nothing.

    Without `follow`, a symbolic link at the end of the path is irregular too. Raises OSError if it cannot be told.
    """
    try:
        kind = stat.S_IFMT(path.stat(follow_symlinks=follow).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return "a symbolic link to a file that does not exist" if path.is_symlink() else None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "a loop of symbolic links"
        raise
    return None if kind == stat.S_IFREG else _KINDS.get(kind, "a special file")


def refuse_irregular(path: Path, field: str, *, follow: bool = True) -> None:
    """Raise InvalidInput if there is anything but a regular file at the path. Raises OSError if it cannot be told."""
    kind = irregularity(path, follow=follow)
    if kind is not None:
        raise InvalidInput(f"{path} is {kind}, not a regular file. Nothing was changed. Name another.", field=field)


def read_regular(path: Path, limit: int = -1, *, field: str = "file", follow: bool = True) -> bytes:
    """Return the first `limit` bytes of a regular file; it never waits. Raises InvalidInput, and OSError."""
    refuse_irregular(path, field, follow=follow)
    with open(path, "rb", opener=_open_at_once) as file:
        return file.read(limit)


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting, even if a FIFO has taken its place."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def hide_from_git(folder: Path) -> None:
    """Give a folder a .gitignore for all that is in it, unless something has that name already. Raises OSError.

    A folder behind a symbolic link gets none: git does not look there.
    """
    if folder.is_symlink():
        return
    with suppress(FileExistsError), (folder / ".gitignore").open("x", encoding="utf-8") as file:
        file.write("*\n")


def make_private(folder: Path, within: Path) -> None:
    """Make a folder, and those that lead to it, for this user alone, in `within`, which git ignores.

    Raises OSError, also where one of them is a symbolic link.
    """
    within.mkdir(parents=True, exist_ok=True)
    hide_from_git(within)
    one = within
    for part in folder.relative_to(within).parts:
        one /= part
        if one.is_symlink():
            raise OSError(errno.ELOOP, "its folder is a symbolic link", str(one))
        one.mkdir(mode=0o700, exist_ok=True)
