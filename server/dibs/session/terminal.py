"""The terminal session of a command, which identifies later commands at the same terminal."""

from __future__ import annotations

from dibs.platform.processes import foreground_session, started


def foreground_terminal() -> str | None:
    """Return the id of the terminal session in whose foreground this command was typed, or None.

    There is none for background jobs, for commands whose standard input is not a terminal (cron, CI, `xargs`, the tools
    of agents), and on Windows, which has no sessions. The id of a session is never reused.
    """
    leader = foreground_session()
    since = started(leader) if leader is not None else None
    if since is None:
        return None
    from dibs.rules.claimant import process_table  # the rules import SQLAlchemy

    return f"{process_table()}-{leader}-{since}"
