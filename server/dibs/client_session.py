"""The session of a coding agent, as its client names it in the environment of servers, hooks and commands."""

from __future__ import annotations

import os
from collections.abc import Mapping

VARIABLES = ("CLAUDE_CODE_SESSION_ID",)
"""Variables by which clients name the session of the agent that a server or a command works for.

Claude Code 2.1 sets one for its MCP servers, hooks and commands, and keeps it when the session is resumed. Codex 0.169
names the session with each call instead (`dibs.mcp.codex`). opencode 1.18 and Gemini CLI 0.61 do neither for servers.
"""


def named_session(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the id of the agent's session from the client's variables, or None."""
    return next(filter(None, map(environ.get, VARIABLES)), None)
