"""The user of this process, and the owners of files."""

from __future__ import annotations

import getpass
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path


def user_name() -> str:
    """Return the name of this machine's user, or `uid-1001` where the system knows no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # ImportError: on Windows, before Python 3.13
        if sys.platform == "win32":
            return "unknown user"
        return f"uid-{os.getuid()}"


def configuration_folder() -> Path | None:
    """Return the folder of this user's configuration, or None where no home folder is known.

    Source: XDG Base Directory Specification 0.8; on Windows, the variable APPDATA.
    """
    named = os.environ.get("APPDATA" if sys.platform == "win32" else "XDG_CONFIG_HOME", "")
    if Path(named).is_absolute():
        return Path(named)
    try:
        return Path.home() / ".config"
    except RuntimeError:  # as in many containers
        return None


def is_private(path: Path) -> bool:
    """Return whether this user alone may read or write what is at the path, which is no symbolic link.

    On Windows, a file has the rights of its folder, which are not checked. Raises OSError.
    """
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return False
    return sys.platform == "win32" or (found.st_uid == os.getuid() and not found.st_mode & 0o077)


def take_owner_and_mode(descriptor: int, other: os.stat_result) -> None:
    """Give an open file the owner and the mode of another one, as far as this user is allowed to.

    On Windows, a file inherits them from its folder.
    """
    if sys.platform == "win32":
        return
    with suppress(PermissionError):  # only root may change the owner
        os.fchown(descriptor, other.st_uid, other.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(other.st_mode))
