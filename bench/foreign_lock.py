"""A program that knows nothing of Dibs, and holds the write lock on its file until it is told to let go."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self


class ForeignLock:
    """BEGIN IMMEDIATE on the database in `path`, by a process of its own, for as long as the block lasts."""

    def __init__(self, path: Path) -> None:
        self._holder = subprocess.Popen(
            [sys.executable, __file__, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"held\n", "the lock is free, or soon will be"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()
        self._holder.wait(20)
        assert self._holder.stdout is not None
        self._holder.stdout.close()

    def let_go(self) -> None:
        """Tell it to let go, and do not wait until it has."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()


def _hold(path: str) -> None:
    connection = sqlite3.connect(path, timeout=20, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    print("held", flush=True)
    sys.stdin.read()
    connection.rollback()
    connection.close()


if __name__ == "__main__":
    _hold(sys.argv[1])
