"""What macOS needs to put a file on the disk, and to exchange two: its system calls are simulated."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from dibs.platform import atomic_swap, durable_sync, system_calls
from dibs.transfer.atomic_file import put_in_place

pytestmark = pytest.mark.only_on("sqlite", reason="it is about files")

SWAP = 2  # RENAME_SWAP of macOS's <sys/stdio.h>


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, set[str]]]:
    """The files and folders that were synced to the disk itself, each with the names that its folder then had."""
    calls: list[tuple[str, set[str]]] = []

    def control(descriptor: int, command: int) -> int:
        assert command == durable_sync.F_FULLFSYNC
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        calls.append((path.name, {one.name for one in (path if path.is_dir() else path.parent).iterdir()}))
        return 0

    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(durable_sync, "sync_descriptor", durable_sync.SYNCS["darwin"])
    return calls


def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_afterwards(
    tmp_path: Path, synced: list[tuple[str, set[str]]]
) -> None:
    """Both syncs empty the disk's cache, which fsync does not do on macOS."""
    made, target = tmp_path / "made", tmp_path / "target"
    made.write_text("whole")
    put_in_place(made, target, replace=True)
    assert synced == [("made", {"made"}), (tmp_path.name, {"target"})]


def test_a_file_system_without_that_sync_gets_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that error leads to fsync; an error of the disk is raised."""
    fsynced: list[int] = []
    number = errno.ENOTSUP

    def fail(*_: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "fcntl", fail)
    monkeypatch.setattr(os, "fsync", fsynced.append)
    monkeypatch.setattr(durable_sync, "sync_descriptor", durable_sync.SYNCS["darwin"])
    file = tmp_path / "file"
    file.touch()
    durable_sync.sync_file(file)
    assert len(fsynced) == 1
    number = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        durable_sync.sync_file(file)
    assert len(fsynced) == 1


def macos(monkeypatch: pytest.MonkeyPatch, failure: int = 0) -> list[int]:
    """Let renamex_np exchange two files, or fail; return the flags of its calls."""
    real = system_calls.libc()
    flags: list[int] = []

    def renamex_np(one: bytes, other: bytes, flag: int) -> int:
        flags.append(flag)
        ctypes.set_errno(failure)
        return -1 if failure else int(real.renameat2(-100, one, -100, other, 2))

    monkeypatch.setattr(atomic_swap, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr(system_calls, "libc", lambda: SimpleNamespace(renamex_np=renamex_np))
    return flags


@pytest.mark.parametrize("failure", [0, errno.ENOTSUP], ids=["in one step", "in three"])
def test_two_files_exchange_their_names(tmp_path: Path, failure: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one step, or in three where the file system has no such step."""
    flags = macos(monkeypatch, failure)
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1")
    other.write_text("2")
    atomic_swap.exchange_names(one, other)
    assert (one.read_text(), other.read_text(), flags) == ("2", "1", [SWAP])
    assert {*tmp_path.iterdir()} == {one, other}


def test_an_exchange_that_fails_is_not_tried_in_three_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other error is raised, and both files keep their names."""
    macos(monkeypatch, errno.EIO)
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1")
    other.write_text("2")
    with pytest.raises(OSError, match="Input/output error"):
        atomic_swap.exchange_names(one, other)
    assert (one.read_text(), other.read_text()) == ("1", "2")
