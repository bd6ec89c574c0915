"""Network file systems are refused on macOS and Windows, whose system calls are simulated."""

from __future__ import annotations

import os
import sys
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace
from typing import Any

import pytest

from dibs.database.sqlite.filesystems import refuse_unsafe
from dibs.platform import file_systems, system_calls
from dibs.platform.file_systems import FileSystem
from dibs_schema.refusals import UnsafeFilesystem

pytestmark = pytest.mark.only_on("sqlite", reason="it is about the place of a file")

LOCAL = 0x1000


def statfs(path: bytes, into: Any, kind: bytes, flags: int) -> int:
    """Answer as macOS does for a folder that exists: struct statfs with 64-bit inode numbers."""
    if not os.path.exists(path):  # noqa: PTH110 - bytes
        return -1
    into.raw = bytes(64) + flags.to_bytes(4, sys.byteorder) + bytes(4) + kind.ljust(16, b"\0") + bytes(2080)
    return 0


@pytest.mark.parametrize(
    ("kind", "flags", "is_local"),
    [("apfs", LOCAL, True), ("hfs", LOCAL | 1, True), ("smbfs", 0, False), ("nfs", 8, False), ("webdav", 0, False)],
)
def test_macos_says_which_file_systems_are_local(
    tmp_path: Path, kind: str, flags: int, is_local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flag MNT_LOCAL decides, of the nearest folder that exists; the refusal names the type."""
    monkeypatch.setattr(file_systems, "sys", SimpleNamespace(platform="darwin", byteorder=sys.byteorder))
    libc = SimpleNamespace(statfs=lambda path, into: statfs(path, into, kind.encode(), flags))
    monkeypatch.setattr(system_calls, "libc", lambda: libc)
    path = tmp_path / "new" / "features.db"
    assert file_systems.file_system(path) == FileSystem(kind, is_local)
    if is_local:
        refuse_unsafe(path)
    else:
        with pytest.raises(UnsafeFilesystem, match=f"is on {kind}"):
            refuse_unsafe(path)


class WindowsPath(PureWindowsPath):
    """A path of Windows that resolves to itself."""

    def resolve(self) -> WindowsPath:
        """Return the path."""
        return self


@pytest.mark.parametrize(
    ("path", "drive_type", "found"),
    [
        (r"C:\work\features.db", 3, FileSystem("NTFS", is_local=True)),
        (r"\\?\C:\work\features.db", 3, FileSystem("NTFS", is_local=True)),
        (r"Z:\features.db", 4, FileSystem("a network drive", is_local=False)),
        (r"\\server\share\features.db", 1, FileSystem("a network share", is_local=False)),
        (r"\\wsl.localhost\Debian\features.db", 1, FileSystem("a network share", is_local=False)),
        (r"\\?\UNC\server\share\features.db", 1, FileSystem("a network share", is_local=False)),
    ],
)
def test_windows_says_which_drives_are_local(
    path: str, drive_type: int, found: FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The type of the drive decides; a path that begins with two backslashes leads to another machine."""

    def volume(root: str, *rest: Any) -> int:
        assert root == "C:\\"
        rest[5].value = "NTFS"
        return 1

    kernel = SimpleNamespace(GetDriveTypeW=lambda _: drive_type, GetVolumeInformationW=volume)
    monkeypatch.setattr(system_calls, "windows_library", lambda _: kernel)
    assert file_systems.FILE_SYSTEMS["win32"](WindowsPath(path)) == found  # type: ignore[arg-type]  # as Path is there
