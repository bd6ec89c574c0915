"""A foreign program that holds one of the database's locks until its input ends."""

from __future__ import annotations

import fcntl
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clusters.urls import moved
from dibs.database.postgres.lock_holders import session_name
from dibs.platform.lock_table import LOCKS as LISTED
from dibs.platform.lock_table import process_name
from foreign import by_hand, connected

LOCKS = ("engine", "queue")
"""The engine's own lock, which blocks every writer, and the lock of the writer queue.

The lock of a "whole" file is not among them: it also keeps readers out, and is had only while nobody has the file open.
"""

PROGRAM = "a foreign program"
"""The name that the foreign program gives a server."""

HELD = {
    ("engine", "file"): ["BEGIN IMMEDIATE"],
    ("whole", "file"): ["PRAGMA locking_mode = EXCLUSIVE", "BEGIN IMMEDIATE"],
    ("engine", "server"): ["BEGIN", "LOCK TABLE projects, features IN EXCLUSIVE MODE"],
    ("queue", "server"): ["BEGIN", "SELECT id FROM projects FOR UPDATE"],
}
"""The statements that take a lock; the writer queue of a file is a lock on another file."""


@contextmanager
def held(lock: str, db: str) -> Iterator[subprocess.Popen[bytes]]:
    """Hold `lock` on the database in another process, until `let_go` or the end of the block."""
    command = [sys.executable, "-m", "races.locks", lock, db]
    with subprocess.Popen(
        command, cwd=Path(__file__).parent.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            yield holder
        finally:
            let_go(holder)


def name_of(holder: subprocess.Popen[bytes], db: str) -> str | None:
    """Return how a refusal names the holder, as a regular expression; None if the system does not show it."""
    if "://" not in db:
        return re.escape(process_name(holder.pid)) if LISTED.exists() else None
    query = "SELECT pid, usename FROM pg_stat_activity WHERE datname = current_database() AND application_name = "
    ((pid, user),) = by_hand(db, f"{query}'{PROGRAM}'")
    return re.escape(session_name(pid, user, PROGRAM)) + r"( at \S+)? for \d+ s"


def let_go(holder: subprocess.Popen[bytes]) -> None:
    """Release the lock now, and return when it is free."""
    assert holder.stdin is not None
    holder.stdin.close()
    holder.wait()


def _hold(lock: str, db: str) -> None:
    said = HELD.get((lock, "server" if "://" in db else "file"))
    if said is None:
        with Path(f"{db}.lock").open("a") as queue:
            fcntl.flock(queue, fcntl.LOCK_EX)
            _until_told()
    else:
        with connected(moved(db, {"application_name": PROGRAM}) if "://" in db else db) as connection:
            for statement in said:
                connection.execute(statement)
            _until_told()
            connection.execute("ROLLBACK")


def _until_told() -> None:
    print("held", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _hold(*sys.argv[1:])
