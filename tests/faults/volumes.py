"""Small file systems of a test's own, to fill and to make read-only."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def volume(place: Path, size: str) -> Iterator[Path]:
    """A file system in memory at `place`; the test is skipped where none can be mounted."""
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
    """Leave no byte free, and return the file that takes the room."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler
