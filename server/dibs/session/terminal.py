"""The terminal session of a command, by which the next commands that are typed there are known."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

PS_TIMEOUT = 2.0


def foreground_terminal() -> str | None:
    """Return the id of the terminal session in whose foreground this command was typed, or None.

    There is none for background jobs, for commands whose standard input is not a terminal (cron, CI, `xargs`, the tools of
    agents), and on Windows, which has no sessions. The id of a session that has ended never comes again.
    """
    try:
        if os.tcgetpgrp(0) != os.getpgrp():
            return None
        leader = os.getsid(0)
    except (AttributeError, OSError):
        return None
    from dibs.rules.claimant import process_table  # the rules import SQLAlchemy

    started = _started(leader)
    return f"{process_table()}-{leader}-{started}" if started else None


def _started(pid: int) -> str | None:
    """Return when a process was started, or None if it has ended, or may not be seen."""
    with suppress(OSError):  # only Linux has it; source: proc(5), starttime
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
    with suppress(OSError, subprocess.TimeoutExpired):
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
        found = subprocess.run(command, capture_output=True, env=environment, timeout=PS_TIMEOUT, check=False)
        return found.stdout.decode(errors="replace").strip() or None
    return None
