"""Groups a command with all processes that it starts: they end together, and with the process that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dibs.platform import guard
from dibs.platform.processes import OWN_SESSION

NOT_STARTED = (guard.NOT_EXECUTABLE, guard.NOT_FOUND)
"""The exit statuses of a command that cannot be started."""

if sys.platform == "win32":

    def shell_command(text: str) -> str | list[str]:
        """Return the command that runs a line of the shell: here the line, since a list would have its quotes escaped."""
        return text

    def terminate_group(pid: int) -> None:
        """Ask a command and all its children to end."""
        with suppress(OSError):
            os.kill(pid, signal.CTRL_BREAK_EVENT)

    def kill_group(pid: int) -> None:
        """End a command and all its children at once."""
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(pid)], capture_output=True, check=False)

else:

    def shell_command(text: str) -> str | list[str]:
        """Return the command that runs a line of the shell."""
        return ["/bin/sh", "-c", text]

    def terminate_group(pid: int) -> None:
        """Ask a command and all its children to end."""
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses for a group of zombies
            os.killpg(pid, signal.SIGTERM)

    def kill_group(pid: int) -> None:
        """End a command and all its children at once."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


class Lifeline:
    """A pipe by which the guards of commands notice the end of this process, however it ends. Windows has none."""

    def __init__(self) -> None:
        self._read, self._write = (-1, -1) if sys.platform == "win32" else os.pipe()

    def guarded(
        self, command: str | Sequence[str], holds: Sequence[int] = (), *, outlives: bool = False
    ) -> tuple[str | list[str], dict[str, Any]]:
        """Return the command line that runs a command as a group, and the options with which to start it.

        The group keeps the descriptors that it `holds` open. It ends with this process, unless `outlives` is true. On
        Windows it always ends so, and holds nothing.
        """
        if sys.platform == "win32":
            return command if isinstance(command, str) else list(command), dict(OWN_SESSION)
        inherited = list(holds) if outlives else [self._read, *holds]
        line = [sys.executable, "-I", "-S", str(Path(guard.__file__)), str(-1 if outlives else self._read), *command]
        return line, {**OWN_SESSION, "pass_fds": inherited}

    def close(self) -> None:
        """Close the pipe, which ends the groups that are left."""
        for one in (self._read, self._write):
            if one >= 0:
                os.close(one)
