"""What Codex says with each call: the session of its agent, and the folder in which the agent works.

Codex starts the server of a plugin in the plugin's own folder, and has no roots. It sends the folder to servers that
announce the capability FOLDER. Tried with Codex 0.169, and named in its sources, codex-rs/codex-mcp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLIENT = "codex-mcp-client"
"""The name by which Codex introduces itself."""
FOLDER = "codex/sandbox-state-meta"
"""An experimental capability, and the member of a call's `_meta` that it brings."""
LONGEST_ID = 100


def is_codex(params: Mapping[str, Any] | None) -> bool:
    """Return whether the parameters of `initialize` come from Codex."""
    client = (params or {}).get("clientInfo")
    return isinstance(client, dict) and client.get("name") == CLIENT


def session_in(meta: Mapping[str, Any] | None) -> str | None:
    """Return the id of the agent's session, or None. Its subagents share the id, and a resumed session keeps it."""
    session = (meta or {}).get("sessionId")
    return session if isinstance(session, str) and 0 < len(session) <= LONGEST_ID else None


def folder_in(meta: Mapping[str, Any] | None) -> str | None:
    """Return the `file:` URI of the agent's folder, or None."""
    state = (meta or {}).get(FOLDER)
    folder = state.get("sandboxCwd") if isinstance(state, dict) else None
    return folder if isinstance(folder, str) else None
