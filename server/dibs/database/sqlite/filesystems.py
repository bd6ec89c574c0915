"""File systems on which processes cannot share a write-ahead log."""

from __future__ import annotations

import re
from pathlib import Path

from dibs_schema.refusals import UnsafeFilesystem

MOUNTS = Path("/proc/self/mountinfo")

_UNSAFE = re.compile(
    r"nfs\d?|smb\d?|smbfs|cifs|9p|virtiofs|fuse\..+|fuseblk|drvfs|afs|ceph|glusterfs|lustre|gpfs"
)


def file_system(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The type of the file system that `path` is on, by the longest mount prefix; None where unknown.

    Source: proc_pid_mountinfo(5): field 5 is the mount point, the first after " - " is the type.
    """
    if not mounts.exists():
        return None
    place = path.resolve()
    best: tuple[int, str] | None = None
    for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        left, _, right = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), left.split()[4]))
        # Of two mounts on one point the later hides the earlier.
        if place.is_relative_to(point) and (best is None or len(point.parts) >= best[0]):
            best = (len(point.parts), right.split()[0])
    return best[1] if best else None


def is_unsafe(kind: str | None) -> bool:
    """Whether shared memory or locks do not reach all processes on a file system of that type.

    Source: https://www.sqlite.org/wal.html, "All processes using a database must be on the same host".
    """
    return kind is not None and _UNSAFE.fullmatch(kind) is not None


def refuse_unsafe(path: Path, mounts: Path = MOUNTS) -> None:
    """Raise UnsafeFilesystem where processes cannot share a write-ahead log."""
    kind = file_system(path, mounts)
    if is_unsafe(kind):
        raise UnsafeFilesystem(
            f"{path} is on {kind}, where processes cannot safely share a SQLite write-ahead log. "
            "Put the backlog on a local disk with --db, or serve it from PostgreSQL (--db postgresql://…).",
            file_system=kind,
        )
