"""The user of this process, and the owners of files."""

from __future__ import annotations

import getpass
import os
import stat
import sys
from contextlib import suppress


def user_name() -> str:
    """Return the name of this machine's user, or `uid-1001` where the system knows no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # ImportError: on Windows, before Python 3.13
        if sys.platform == "win32":
            return "unknown user"
        return f"uid-{os.getuid()}"


def take_owner_and_mode(descriptor: int, other: os.stat_result) -> None:
    """Give an open file the owner and the mode of another one, as far as this user may.

    On Windows, a file has those of its folder.
    """
    if sys.platform == "win32":
        return
    with suppress(PermissionError):  # only root may change the owner
        os.fchown(descriptor, other.st_uid, other.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(other.st_mode))
