"""The process that outlives a killed storm, and kills the servers that the storm left.

`python -m dibs_proof.storm.process_cleanup` reads process ids, `+7` to add one and `-7` to remove it. When its input
ends, it kills the processes that are left, including stopped ones: a stopped server does not notice that its own input
has ended.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from dibs.platform.processes import OWN_SESSION, ProcessToKill


class ProcessCleanup:
    """The storm's end of the pipe to the clean-up process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the process in its own session, so that a terminal does not end it together with the storm."""
        command = [sys.executable, "-m", "dibs_proof.storm.process_cleanup"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, **OWN_SESSION)
        try:
            yield
        finally:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()

    @contextmanager
    def registered(self, pid: int) -> Iterator[None]:
        """Kill the process `pid` if the storm is killed before the block ends."""
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


def clean_up(lines: Iterable[str]) -> None:
    """Read process ids, and kill the processes that are left after the last line."""
    left: dict[int, ProcessToKill] = {}
    for line in lines:
        pid = int(line[1:])
        if line.startswith("+"):
            left[pid] = ProcessToKill(pid)
        else:
            left.pop(pid).close()
    for process in left.values():
        with suppress(ProcessLookupError):
            process.kill()


if __name__ == "__main__":
    clean_up(sys.stdin)
