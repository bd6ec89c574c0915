"""The processes that a storm starts in addition to its servers.

`python -m dibs_proof.storm.child_processes lock DB SECONDS` is a foreign program that blocks every writer. It uses the
database without Dibs, and so without the writer queue. It prints the times at which it got and released the lock, in
seconds of the monotonic clock, or nothing if it did not get the lock.

`python -m dibs_proof.storm.child_processes clean-up` outlives a killed storm, and kills the servers that the storm left.
It reads process ids, `+7` to add one and `-7` to remove it. When its input ends, it kills those that are left, also
stopped ones: a stopped server does not notice that its own input has ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

_COMMAND = (sys.executable, "-m", "dibs_proof.storm.child_processes")


def lock_command(db: str, seconds: float) -> list[str]:
    """Return the command of a program that holds the lock for `seconds`."""
    return [*_COMMAND, "lock", db, f"{seconds:.2f}"]


class ProcessCleanup:
    """The storm's end of the pipe to the clean-up process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the process in its own session, so that a terminal does not end it together with the storm."""
        command = [*_COMMAND, "clean-up"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        try:
            yield
        finally:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()

    @contextmanager
    def registered(self, pid: int) -> Iterator[None]:
        """Kill that process if the storm is killed before the block ends."""
        self._send(f"+{pid}\n")
        try:
            yield
        finally:
            self._send(f"-{pid}\n")

    def _send(self, line: str) -> None:
        assert self._process is not None, "it is used while it runs"
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()


def hold_lock(db: str, seconds: float) -> None:
    """Hold the lock for `seconds`. Do nothing if another program holds it, or wins a deadlock."""
    driver, connection, lock = _connected(db)
    with closing(connection), suppress(driver.Error):
        for statement in lock:
            connection.execute(statement)
        _print(time.monotonic())
        time.sleep(seconds)
        connection.execute("ROLLBACK")
        _print(time.monotonic())


def _connected(db: str) -> tuple[Any, Any, tuple[str, ...]]:
    """Connect as any program does, and return the driver, a connection, and the statements that take the lock."""
    if "://" in db:
        import psycopg

        lock = ("BEGIN", "LOCK TABLE projects, features IN EXCLUSIVE MODE")
        return psycopg, psycopg.connect(db, autocommit=True), lock
    from dibs.database import file_driver

    driver = file_driver()
    return driver, driver.connect(db, isolation_level=None), ("BEGIN IMMEDIATE",)


def _print(now: float) -> None:
    sys.stdout.write(f"{now}\n")
    sys.stdout.flush()


def clean_up(lines: Iterable[str]) -> None:
    """Read process ids, and kill the processes that are left after the last line."""
    left: dict[int, int | None] = {}
    for line in lines:
        pid = int(line[1:])
        if line.startswith("+"):
            left[pid] = _handle(pid)
        elif (handle := left.pop(pid, None)) is not None:
            os.close(handle)
    for pid, handle in left.items():
        for number in (signal.SIGKILL, signal.SIGCONT):
            with suppress(ProcessLookupError):
                if handle is None:
                    os.kill(pid, number)
                else:
                    signal.pidfd_send_signal(handle, number)


def _handle(pid: int) -> int | None:
    """Return a descriptor of the process, if the system has them: the kernel may reuse a process id."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


if __name__ == "__main__":
    if sys.argv[1] == "lock":
        hold_lock(sys.argv[2], float(sys.argv[3]))
    else:
        clean_up(sys.stdin)
