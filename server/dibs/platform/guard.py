"""Runs a command for another process, and kills it with all its children once that process has ended.

It is a separate program, which leads the process group: `python -I -S guard.py LIFELINE COMMAND…`. LIFELINE is the
descriptor of a pipe that only the other process can write to, or -1 for a command that may outlive that process. The
guard also keeps open what it inherits, such as a locked file, for as long as the command runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""The exit statuses of a command that cannot be started, as shells have them."""


def main(lifeline: int, command: list[str]) -> int:
    """Run the command, and return its exit status: 128 and more for a signal, as shells have it."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # a handler and not SIG_IGN, which the command would inherit
            signal.signal(getattr(signal, name), lambda *_: None)
    if lifeline >= 0:
        threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
    try:
        child = subprocess.Popen(command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    status = child.wait()
    return status if status >= 0 else 128 - status


def _die_with(lifeline: int) -> None:
    os.read(lifeline, 1)  # returns when the last process that could write has ended
    if sys.platform != "win32":
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
