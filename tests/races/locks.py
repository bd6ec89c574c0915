"""A foreign program that holds one of the database's locks until it is told to let go."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCKS = ("begin immediate", "flock")


@contextmanager
def held(lock: str, db: str) -> Iterator[subprocess.Popen[bytes]]:
    """Hold `lock` on the database in a process of its own; `let_go` or the block's end releases it."""
    with subprocess.Popen(
        [sys.executable, __file__, lock, db], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            yield holder
        finally:
            let_go(holder)


def let_go(holder: subprocess.Popen[bytes]) -> None:
    """Release the lock now, and return when it is free."""
    assert holder.stdin is not None
    holder.stdin.close()
    holder.wait()


def _hold(lock: str, db: str) -> None:
    if lock == "flock":
        with Path(f"{db}.lock").open("a") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            _until_told()
    else:
        from dibs.database.sqlite.engine import driver

        connection = driver().connect(db, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        _until_told()
        connection.rollback()
        connection.close()


def _until_told() -> None:
    print("held", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _hold(*sys.argv[1:])
