"""`dibs hook EVENT`: what Dibs does at the events of a coding agent's session. Clients run it as a hook.

A client writes the event as JSON to standard input, and reads the answer as JSON from standard output. Claude Code, Codex
and Gemini CLI agree on the members that are used here. Sources: https://code.claude.com/docs/en/hooks,
https://developers.openai.com/codex/hooks, https://geminicli.com/docs/hooks/reference
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import click

from dibs.cli.options import PLACE, settings_options
from dibs.root_folder import served_folder
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput, NotClaimed, Refusal
from dibs_schema.roles import Role

if TYPE_CHECKING:
    from pathlib import Path

    from dibs.session.session import Session

EVENTS = ("session-start", "pre-compact", "stop", "subagent-stop", "session-end")
CLIENT = "claude-code"
"""The name by which the client that names its sessions introduces itself to its MCP servers."""
LARGEST_EVENT = 1 << 20
"""Bytes of an event that are read."""
GIT_TIMEOUT = 2.0
FILES = 10
"""The most changed files that a note names."""

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


@click.command()
@click.argument("event", type=click.Choice(EVENTS))
@click.option("--check", is_flag=True, help="At a stop: send the agent back while it has a claim without an outcome.")
@settings_options("agent", *PLACE)
def hook(*, event: str, check: bool, **flags: Any) -> None:
    """Act on an event of a coding agent's session, which its client writes to standard input.

    session-start reminds the agent of its claims. pre-compact and session-end leave a note on where the work stands;
    session-end then gives the claims back. stop and subagent-stop do nothing without --check. Without a backlog, or
    without the agent's name or session, the command does nothing. It never fails: an error goes to standard error.
    """
    try:
        given = _read_event()
        settings = Settings.read(flags, folder=served_folder)
        if (event in ("stop", "subagent-stop") and not check) or not _has_backlog(settings):
            return
        name = _holder_name(settings, given)
        if name is None:
            return
        answer = _act(event, given, settings, name)
    except Refusal as refusal:
        click.echo(f"dibs: {refusal}", err=True)
        return
    if answer is not None:
        click.echo(json.dumps(answer))


def _read_event() -> dict[str, Any]:
    """Return the event, or an empty one if a person started the command, or the input is not JSON."""
    if sys.stdin is None or sys.stdin.isatty():
        return {}
    with suppress(ValueError):
        given = json.loads(sys.stdin.buffer.read(LARGEST_EVENT))
        return given if isinstance(given, dict) else {}
    return {}


def _holder_name(settings: Settings, given: dict[str, Any]) -> str | None:
    """Return the name under which the session's server makes claims, or None if it can only be guessed."""
    from dibs.session.caller import Caller

    session = given.get("session_id") or settings.client_session
    if settings.agent is not None or not isinstance(session, str):
        return settings.agent
    return Caller.on_connection(settings, session, CLIENT).alias


def _has_backlog(settings: Settings) -> bool:
    try:
        return settings.is_server_url or settings.database_file().exists()
    except InvalidInput:  # there can be none for this folder
        return False


def _act(event: str, given: dict[str, Any], settings: Settings, name: str) -> dict[str, Any] | None:
    """Act as a planner, who alone may release the claims of another connection, whatever the agent's role is."""
    from dibs.cli.options import backlog
    from dibs.session.caller import Caller
    from dibs.session.issued_tokens import ClaimMemory
    from dibs.session.session import Session

    acting = settings.model_copy(update={"agent": name, "role": Role.PLANNER})
    place = {"db": settings.place()["DIBS_DB"], "project": settings.project}
    with backlog(place, read_only=event not in ("pre-compact", "session-end")) as database:
        session = Session(database, acting, Caller.in_shell(acting), ClaimMemory())
        return anyio.run(_answer, session, event, given, name)


async def _answer(session: Session, event: str, given: dict[str, Any], name: str) -> dict[str, Any] | None:
    from dibs_schema.answers import Page
    from dibs_schema.operations import Operations, claims, reading

    found = await session.perform(Operations.search, reading.SearchFeatures(status="in_progress", agent=name))
    assert isinstance(found, Page)
    held = [row.id for row in found.features]
    if event == "session-start":
        return _reminder(held, given)
    if event in ("stop", "subagent-stop"):
        return _stop(held) if held and not given.get("stop_hook_active") else None
    note = _where_the_work_stands(session.settings.folder) if held else None
    for feature in held:
        if note is not None:
            await session.perform(Operations.add_note, claims.AddNote(feature, note))
        if event == "session-end":
            with suppress(NotClaimed):  # its own server has released it already
                await session.perform(Operations.release, claims.ReleaseClaim(feature, force=True))
    return None


def _reminder(held: list[int], given: dict[str, Any]) -> dict[str, Any] | None:
    reminder = "\n".join(HELD.format(id=feature) for feature in held)
    if not reminder and given.get("source") == "resume":
        reminder = GONE
    if not reminder:
        return None
    name = given.get("hook_event_name", "SessionStart")
    return {"hookSpecificOutput": {"hookEventName": name, "additionalContext": reminder}}


def _stop(held: list[int]) -> dict[str, Any]:
    features = f"feature{'s' if len(held) > 1 else ''} {', '.join(map(str, held))}"
    return {"decision": "block", "reason": UNFINISHED.format(features=features)}


def _where_the_work_stands(folder: Path) -> str | None:
    """Return the branch, the commit and the changed files of the folder's repository, or None if there is none."""
    command = ["git", "-C", str(folder), "status", "--porcelain=v2", "--branch", "-z"]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=GIT_TIMEOUT)
    except (OSError, subprocess.SubprocessError):  # no git, no repository, or a slow one
        return None
    facts = {"branch.oid": "", "branch.head": ""}
    changed = []
    for line in done.stdout.decode(errors="replace").split("\0"):
        kind, _, rest = line.partition(" ")
        if kind == "#":
            fact, _, value = rest.partition(" ")
            facts[fact] = value
        elif kind in ("1", "2", "u", "?"):  # git-status(1): changed, renamed, unmerged, untracked
            changed.append(rest.split(" ", {"1": 7, "2": 8, "u": 9, "?": 0}[kind])[-1])
    files = ", ".join(changed[:FILES]) + (f" and {len(changed) - FILES} more" if len(changed) > FILES else "")
    where = f"{facts['branch.head']} at {facts['branch.oid'][:10]}"
    return f"Where the work stands: {where}, {f'not committed: {files}' if changed else 'all committed'}."
