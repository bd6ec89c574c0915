"""The file system of a path: its type, and whether only this machine's kernel serves it."""

from __future__ import annotations

import ntpath
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from dibs.platform import system_calls

MOUNTS = Path("/proc/self/mountinfo")


class FileSystem(NamedTuple):
    """A file system's type, such as "ext4", and whether processes of this machine alone use it, through one kernel."""

    kind: str
    is_local: bool


_REMOTE = re.compile(r"nfs\d?|smb\d?|smbfs|cifs|9p|virtiofs|fuse\..+|fuseblk|drvfs|afs|ceph|glusterfs|lustre|gpfs")
"""Types on Linux that another machine or another kernel, or a program without shared memory, may serve."""


def _linux_file_system(path: Path) -> FileSystem | None:
    """Find the longest mount prefix of the path.

    Source: proc_pid_mountinfo(5): field 5 is the mount point, the first after " - " is the type.
    """
    if not MOUNTS.exists():
        return None
    place = path.resolve()
    best: tuple[int, str] | None = None
    for line in MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        left, _, right = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), left.split()[4]))
        # The later of two mounts on one point hides the earlier.
        if place.is_relative_to(point) and (best is None or len(point.parts) >= best[0]):
            best = (len(point.parts), right.split()[0])
    return FileSystem(best[1], _REMOTE.fullmatch(best[1]) is None) if best else None


_STATFS_BYTES, _FLAGS, _TYPE, _TYPE_BYTES = 2168, 64, 72, 16
_MNT_LOCAL = 0x1000


def _macos_file_system(path: Path) -> FileSystem | None:
    """Ask for the nearest folder that exists. Source: statfs(2) of macOS, with 64-bit inode numbers; <sys/mount.h>."""
    import ctypes

    place = path.resolve()
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    libc = system_calls.libc()
    statfs = getattr(libc, "statfs$INODE64", None) or libc.statfs  # on Intel, the plain name has another form
    while statfs(os.fsencode(place), found) != 0:
        if place == place.parent:
            return None
        place = place.parent
    flags = int.from_bytes(found.raw[_FLAGS : _FLAGS + 4], sys.byteorder)
    kind = found.raw[_TYPE : _TYPE + _TYPE_BYTES].split(b"\0")[0].decode("ascii", "replace")
    return FileSystem(kind, bool(flags & _MNT_LOCAL))


_DRIVE_REMOTE = 4
_LONGEST_KIND = 261


def _windows_file_system(path: Path) -> FileSystem | None:
    r"""Ask for the drive. A path that begins with \\ leads to another machine.

    Source: GetDriveTypeW and GetVolumeInformationW, fileapi.h.
    """
    import ctypes

    drive, _ = ntpath.splitdrive(_without_prefix(str(path.resolve())))
    if drive.startswith("\\\\"):
        return FileSystem("a network share", is_local=False)
    root, kernel = f"{drive}\\", system_calls.windows_library("kernel32")
    if kernel.GetDriveTypeW(root) == _DRIVE_REMOTE:
        return FileSystem("a network drive", is_local=False)
    kind = ctypes.create_unicode_buffer(_LONGEST_KIND)
    if not kernel.GetVolumeInformationW(root, None, 0, None, None, None, kind, _LONGEST_KIND):
        return None
    return FileSystem(kind.value, is_local=True)


def _without_prefix(path: str) -> str:
    return re.sub(r"^\\\\\?\\(?=[A-Za-z]:)", "", path)


def plain_path(path: str) -> str:
    r"""Return a path of Windows without the prefix \\?\ before its drive, which no URL of a file can have."""
    return _without_prefix(path) if sys.platform == "win32" else path


FILE_SYSTEMS: dict[str, Callable[[Path], FileSystem | None]] = {
    "linux": _linux_file_system,
    "darwin": _macos_file_system,
    "win32": _windows_file_system,
}


def file_system(path: Path) -> FileSystem | None:
    """Return the file system of a path, which need not exist, or None if it is unknown."""
    find = FILE_SYSTEMS.get(sys.platform)
    return find(path) if find is not None else None
