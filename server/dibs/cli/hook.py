"""`dibs hook EVENT`: what Dibs does at the events of a coding agent's session. Clients run it as a hook.

`dibs.hooks.shortcut` runs first, and leaves to this command what it cannot answer.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import click

from dibs.cli.options import PLACE, settings_options
from dibs.hooks.event import EVENTS, READING, answer, names_of, read_event
from dibs.root_folder import served_folder
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput, NotClaimed, Refusal
from dibs_schema.roles import Role

if TYPE_CHECKING:
    from pathlib import Path

    from dibs.session.session import Session

GIT_TIMEOUT = 2.0
FILES = 10
"""The most changed files that a note names."""


@click.command()
@click.argument("event", type=click.Choice(EVENTS))
@click.option("--check", is_flag=True, help="At a stop: send the agent back while it has a claim without an outcome.")
@settings_options("agent", *PLACE)
@click.pass_obj
def hook(given: dict[str, Any] | None, /, *, event: str, check: bool, **flags: Any) -> None:
    """Act on an event of a coding agent's session, which its client writes to standard input.

    session-start reminds the agent of its claims. pre-compact and session-end leave a note on where the work stands;
    session-end then gives the claims back. stop and subagent-stop do nothing without --check. Without a backlog, or
    without the agent's name or session, the command does nothing; nor does it end a claim that was made for the agent
    (DIBS_CLAIM). It never fails: an error goes to standard error.
    """
    try:
        given = read_event() if given is None else given
        settings = Settings.read(flags, folder=served_folder)
        if (event in ("stop", "subagent-stop") and not check) or not _has_backlog(settings):
            return
        if settings.claim is not None and event not in ("session-start", "pre-compact"):
            return  # whoever made the claim ends it
        named = {"AGENT": settings.agent or "", "ROLE": settings.role.value}
        names = names_of(named, given, os.environ, settings.folder.name)
        said = _act(event, given, settings, names) if names else None
    except Refusal as refusal:
        click.echo(f"dibs: {refusal}", err=True)
        return
    if said is not None:
        click.echo(json.dumps(said))


def _has_backlog(settings: Settings) -> bool:
    try:
        return settings.is_server_url or settings.database_file().exists()
    except InvalidInput:  # there can be none for this folder
        return False


def _act(event: str, given: dict[str, Any], settings: Settings, names: Sequence[str]) -> dict[str, Any] | None:
    """Act as a planner, whatever the agent's role is: only a planner may release another connection's claims."""
    from dibs.cli.options import backlog
    from dibs.session.caller import Caller
    from dibs.session.issued_tokens import ClaimMemory
    from dibs.session.session import Session

    acting = settings.model_copy(update={"agent": names[0], "role": Role.PLANNER})
    place = {"db": settings.place()["DIBS_DB"], "project": settings.project}
    with backlog(place, read_only=event in READING) as database:
        session = Session(database, acting, Caller.in_shell(acting), ClaimMemory())
        return anyio.run(_answer, session, event, given, names)


async def _answer(session: Session, event: str, given: dict[str, Any], names: Sequence[str]) -> dict[str, Any] | None:
    from dibs_schema.answers import Feature, Page
    from dibs_schema.operations import Operations, claims, read_arguments, reading

    held: list[int] = []
    for name in names:
        found = await session.perform(Operations.search, reading.SearchFeatures(status="in_progress", agent=name))
        assert isinstance(found, Page)
        held += [row.id for row in found.features]
    if event in READING:
        return answer(event, held, given)
    seen = [await session.perform(Operations.get, reading.GetFeature(feature)) for feature in held]
    note = _where_the_work_stands(session.settings.folder) if held else None
    for one in seen:
        assert isinstance(one, Feature)
        if one.claimed_at is None or one.claimed_by not in names:
            continue  # its own server has released it already
        if note is not None:
            await session.perform(Operations.add_note, claims.AddNote(one.id, note))
        if event == "session-end":
            asked = {"feature_id": one.id, "force": True, "unless_claimed_since": one.claimed_at.isoformat()}
            with suppress(NotClaimed, InvalidInput):  # released meanwhile, and maybe claimed again
                await session.perform(Operations.release, read_arguments(Operations.release, asked))
    return None


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
