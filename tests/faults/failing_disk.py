"""A failing disk: a library that is preloaded into a server, and the plan that it follows."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

WRITE, SYNC, TRUNCATE, READ = 1, 2, 4, 8
"""The calls that can fail, as their source (disk.c) knows them."""

_PLAN = struct.Struct("5q")


def built(folder: Path) -> Path:
    """Compile the library. Skip the test if there is no compiler or no preloading."""
    compiler = shutil.which("cc")
    if compiler is None or os.uname().sysname != "Linux":
        pytest.skip("needs Linux and a C compiler")
    library = folder / "disk.so"
    source = Path(__file__).with_name("disk.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return library


class Disk:
    """The plan for system calls on the files below a path, in every server that is started with it."""

    def __init__(self, library: Path, below: Path, plan: Path) -> None:
        plan.write_bytes(_PLAN.pack(0, 0, 0, 0, 0))
        with plan.open("r+b") as file:
            self._plan = mmap.mmap(file.fileno(), _PLAN.size)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAILING_DISK_PLAN": str(plan),
            "FAILING_DISK_BELOW": str(below),
        }

    @contextmanager
    def failing(self, calls: int, error: int, after: int = 0) -> Iterator[None]:
        """Let all calls after the first `after` fail with `error`."""
        self._plan[:] = _PLAN.pack(calls, error, after, 0, 0)
        try:
            yield
        finally:
            self.mend()

    def mend(self) -> None:
        """Let no call fail."""
        _, _, _, made, failed = _PLAN.unpack(self._plan[:])
        self._plan[:] = _PLAN.pack(0, 0, 0, made, failed)

    @property
    def failed(self) -> int:
        """The number of calls that failed under the last plan."""
        return int(_PLAN.unpack(self._plan[:])[4])
