"""Other processes of this machine: whether they run, when they started, and how they are identified."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from dibs.platform import system_calls
from dibs.platform.signals import kill

PS_TIMEOUT = 2.0

OWN_SESSION: dict[str, Any]
"""Options of subprocess.Popen by which an interrupt at the terminal does not reach the process."""

if sys.platform == "win32":
    import socket

    OWN_SESSION = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}

    _QUERY, _SYNCHRONIZE = 0x1000, 0x100000
    _ERROR_INVALID_PARAMETER, _WAIT_OBJECT_0 = 87, 0

    def host_name() -> str:
        """Return the name of this machine."""
        return socket.gethostname()

    def is_running(pid: int) -> bool:
        """Return whether a process runs; one of another user counts too.

        Source: OpenProcess, processthreadsapi.h, which knows no such process (87) or refuses; WaitForSingleObject.
        """
        kernel = system_calls.windows_library("kernel32")
        handle = kernel.OpenProcess(_QUERY | _SYNCHRONIZE, 0, pid)
        if not handle:
            return system_calls.windows_error().winerror != _ERROR_INVALID_PARAMETER
        try:
            return bool(kernel.WaitForSingleObject(handle, 0) != _WAIT_OBJECT_0)
        finally:
            kernel.CloseHandle(handle)

    def foreground_session() -> int | None:
        """Return None: Windows has no sessions of a terminal."""
        return None

else:
    OWN_SESSION = {"start_new_session": True}

    def host_name() -> str:
        """Return the name of this machine."""
        return os.uname().nodename

    def is_running(pid: int) -> bool:
        """Return whether a process runs; one of another user counts too."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's
            return True
        return True

    def foreground_session() -> int | None:
        """Return the leader of the session in whose terminal's foreground this process runs, or None."""
        try:
            return os.getsid(0) if os.tcgetpgrp(0) == os.getpgrp() else None
        except OSError:
            return None


class ProcessToKill:
    """A process that may have to be killed later, when the kernel may have given its id to another one."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._handle: int | None = None
        if sys.platform == "linux":
            with suppress(OSError):
                self._handle = os.pidfd_open(pid)

    def kill(self) -> None:
        """Kill the process, even if it is suspended. Raises ProcessLookupError if it has ended."""
        if sys.platform == "linux" and self._handle is not None:
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        else:
            kill(self._pid)

    def close(self) -> None:
        """Release the process without killing it."""
        if self._handle is not None:
            os.close(self._handle)


def process_namespace() -> str:
    """Return an id of the container within which process ids are unique; "" where there are no containers."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - a magic link, not a path
    except OSError:  # only Linux has pid namespaces
        return ""


def started(pid: int) -> str | None:
    """Return when a process was started, or None if it has ended, or may not be seen."""
    with suppress(OSError):  # only Linux has it; source: proc(5), starttime
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
    with suppress(OSError, subprocess.TimeoutExpired):
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
        found = subprocess.run(command, capture_output=True, env=environment, timeout=PS_TIMEOUT, check=False)
        return found.stdout.decode(errors="replace").strip() or None
    return None
