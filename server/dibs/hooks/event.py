"""The events of a coding agent's session, as clients send them, and what Dibs answers.

A client writes the event as JSON to standard input, and reads the answer as JSON from standard output. Claude Code, Codex
and Gemini CLI agree on the members that are used here, and call some events by other names. Sources:
https://code.claude.com/docs/en/hooks, https://developers.openai.com/codex/hooks,
https://geminicli.com/docs/hooks/reference
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from dibs.client_session import named_session
from dibs.rules.holder_names import name_in_folder

EVENTS = ("session-start", "pre-compact", "stop", "subagent-stop", "session-end")
READING = ("session-start", "stop", "subagent-stop")
"""The events that change nothing in a backlog."""
CLIENTS = ("claude-code", "codex-mcp-client")
"""The names by which the clients that name their sessions introduce themselves to their MCP servers."""
LARGEST_EVENT = 1 << 20
"""Bytes of an event that are read."""

# The texts of features are data that other agents write, so nothing that speaks to the agent has them.
HELD = (
    "You have a claim on feature {id} in the backlog of the MCP server `features`. Before anything else call "
    "feature_claim_and_get with feature_id={id} and resume=true: it returns the feature's text and the claim's token."
)
GONE = (
    "You have no claim in the backlog of the MCP server `features`: the claims of an earlier session were released when it "
    "ended. Before you go on with a feature, claim it by its feature_id; somebody else may have it."
)
UNFINISHED = (
    "You still have a claim on {features} in the backlog of the MCP server `features`. Finish it with feature_mark_passing "
    "or feature_mark_failing, or give it back with feature_clear_in_progress and a note on where the work stands."
)


def read_event() -> dict[str, Any]:
    """Return the event, or an empty one if a person started the command, or the input is not JSON."""
    if sys.stdin is None or sys.stdin.isatty():
        return {}
    with suppress(ValueError):
        given = json.loads(sys.stdin.buffer.read(LARGEST_EVENT))
        return given if isinstance(given, dict) else {}
    return {}


def names_of(
    settings: Mapping[str, str], given: Mapping[str, Any], environ: Mapping[str, str], folder: str
) -> list[str]:
    """Return the names under which the servers of an event's session may have made claims; none if they can only be guessed.

    `settings` has the AGENT and the ROLE of the session, `folder` is the name of the folder that it serves.
    """
    if settings.get("AGENT"):
        return [settings["AGENT"]]
    session = given.get("session_id") or named_session(environ)
    if not isinstance(session, str):
        return []
    return [name_in_folder(client, session, folder, settings.get("ROLE", "")) for client in CLIENTS]


def answer(event: str, held: Sequence[int], given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the answer to an event that only reads, for an agent with claims on the features `held`; None is silence."""
    if event != "session-start":
        return _stop(held) if held and not given.get("stop_hook_active") else None
    reminder = "\n".join(HELD.format(id=feature) for feature in held)
    if not reminder and given.get("source") == "resume":
        reminder = GONE
    if not reminder:
        return None
    name = given.get("hook_event_name", "SessionStart")
    return {"hookSpecificOutput": {"hookEventName": name, "additionalContext": reminder}}


def _stop(held: Sequence[int]) -> dict[str, Any]:
    features = f"feature{'s' if len(held) > 1 else ''} {', '.join(map(str, held))}"
    return {"decision": "block", "reason": UNFINISHED.format(features=features)}
