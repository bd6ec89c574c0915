"""The guardian process: it starts the shared server, and stops it when the test run has ended.

It needs no message: each process of the run shares a lock, which the kernel releases when a process ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from clusters.cluster import Cluster


def keep(folder: Path, ready: Callable[[], object]) -> None:
    """Serve while any process shares the lock on `users` in the folder, then remove the folder.

    No data here outlives the run, so no write waits for the disk. Other tests cover a crash of the machine.
    """
    with Cluster(folder / "server", fsync="off", full_page_writes="off", max_connections=300) as server:
        (folder / "url").write_text(server.url())
        ready()
        with (folder / "users").open() as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            (folder / "url").unlink()
    shutil.rmtree(folder)


def main(folder: Path) -> int:
    """Start a guardian in its own session, and return 0 once its server answers, or 1 if it does not."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        return 0 if os.read(reading, 1) else 1
    os.setsid()
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT, 0o600)
    for stream in (0, 1, 2):
        os.dup2(log, stream)
    keep(folder, lambda: os.write(writing, b"!"))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
