"""Small file systems for tests, which can be filled and made read-only."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def volume(place: Path, size: str) -> Iterator[Path]:
    """A file system in memory at `place`; the test is skipped if none can be mounted."""
    place.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", f"{place}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", f"{place}"], check=True)


def mount(*arguments: str) -> None:
    """Mount, or skip the test with the reason."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs to mount a file system of its own: {done.stderr.strip()}")


def fill_up(place: Path) -> Path:
    """Leave no byte free, and return the file that fills the disk."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


@contextmanager
def journalled(place: Path) -> Iterator[Path]:
    """A file system of ext4 in a file, which becomes read-only after an error. Skip the test if that is impossible."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("needs mkfs.ext4")
    place.mkdir()
    image = place.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    mount("-o", "loop,errors=remount-ro", f"{image}", f"{place}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", f"{place}"], check=True)


def break_file_system(place: Path) -> None:
    """Make the kernel report an error in the file system, which becomes read-only. Skip the test if that is impossible."""
    source = subprocess.run(["findmnt", "-no", "SOURCE", place], capture_output=True, text=True, check=True)
    told = Path("/sys/fs/ext4") / Path(source.stdout.strip()).name / "trigger_fs_error"
    if not told.exists():
        pytest.skip(f"needs {told}")
    told.write_text("a test")
