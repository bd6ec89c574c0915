"""A process that outlives a storm which is killed, and ends the servers that it has left stopped.

`python -m dibs_proof.storm.reaper` reads process ids, `+7` and `-7`; when its input ends, it lets those that it has
not been told to forget go on, and kills them. A server that is stopped does not see that its own input has ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress


class Guardian:
    """The storm's end of the pipe."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Have the process, in a session of its own, so that no terminal ends it with the storm."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dibs_proof.storm.reaper"], stdin=subprocess.PIPE, start_new_session=True
        )
        try:
            yield
        finally:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()

    @contextmanager
    def guarding(self, pid: int) -> Iterator[None]:
        """Have that process ended if the storm is killed before the block ends."""
        self._tell(f"+{pid}\n")
        try:
            yield
        finally:
            self._tell(f"-{pid}\n")

    def _tell(self, line: str) -> None:
        assert self._process is not None, "it is asked for while it watches"
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()


def guard(lines: Iterable[str]) -> None:
    """Remember who is to be ended, and end them when there are no more lines."""
    guarded: dict[int, int | None] = {}
    for line in lines:
        pid = int(line[1:])
        if line.startswith("+"):
            guarded[pid] = _handle(pid)
        elif (handle := guarded.pop(pid, None)) is not None:
            os.close(handle)
    for pid, handle in guarded.items():
        for number in (signal.SIGKILL, signal.SIGCONT):
            with suppress(ProcessLookupError):
                if handle is None:
                    os.kill(pid, number)
                else:
                    signal.pidfd_send_signal(handle, number)


def _handle(pid: int) -> int | None:
    """What stands for this very process, where the system has such a thing; its number may be another's later."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


if __name__ == "__main__":
    guard(sys.stdin)
