"""The guardian process: it starts the shared server, and stops it when the test run has ended.

It needs no message to know: each process of the run shares a lock, which the kernel takes from the dead.
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
    """Serve while anyone shares the lock on `users` in the folder, then remove the folder.

    Nothing here outlives the run, so nothing waits for the disk; a crash of the machine has tests of its own.
    """
    with Cluster(folder / "server", fsync="off", full_page_writes="off", max_connections=300) as server:
        (folder / "url").write_text(server.url())
        ready()
        with (folder / "users").open() as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            (folder / "url").unlink()
    shutil.rmtree(folder)


def main(folder: Path) -> int:
    """Leave a guardian behind in a session of its own; return 0 once its server answers, else 1."""
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
