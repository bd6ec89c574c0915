"""`dibs init`: register the server with the MCP clients of a project."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from dibs.cli.options import print_json, say_refusals, settings_options
from dibs.registration.clients import CLIENTS
from dibs.settings import Settings, current_folder, find_root
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from dibs.registration.command import Command
    from dibs.registration.plan import Change
    from dibs.registration.probe import Start

UNASKED = 3
"""The exit status where there is something to write and nobody to ask."""
COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@dataclass(slots=True)
class Told:
    """What is said at the end, as `--json` prints it."""

    command: Command
    changes: list[Change]
    written: bool = False
    answers: dict[str, str] = field(default_factory=dict)

    def as_json(self, root: Path) -> dict[str, Any]:
        """The same as JSON values."""
        clients = [
            {
                "client": one.client.name,
                "file": str(one.file),
                "change": one.kind,
                "diff": one.diff(root),
            }
            | ({"server": self.answers[one.client.name]} if one.client.name in self.answers else {})
            for one in self.changes
        ]
        return {
            "command": list(self.command.words),
            "why": self.command.why,
            "clients": clients,
            "written": self.written,
        }


@click.command()
@click.argument("clients", nargs=-1, type=click.Choice(list(CLIENTS)), metavar="[CLIENT]...")
@settings_options("db", "project", "agent", "role")
@click.option("--remove", is_flag=True, help="Take the server out again.")
@click.option(
    "--force", is_flag=True, help="Replace, or take out, also another server that is called `features`."
)
@click.option("--yes", "-y", is_flag=True, help="Write without asking.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and ask nothing.")
@say_refusals
def init(
    clients: tuple[str, ...],
    *,
    remove: bool,
    force: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Register the server with the MCP clients of this project, and try whether it answers.

    CLIENT is claude, codex, cursor, vscode, opencode or gemini; without one, those in use here are listed, and
    nothing is changed. Shows the difference before it writes, and keeps everything else in the files. --db, --project,
    --agent and --role are written into the entry, and stay there until one says otherwise; run again without them, it
    changes nothing, and only tries the server.

    The exit status is 1 if the server does not answer, and 3 if something would be written and there is no terminal
    to ask at.
    """
    from dibs.registration.command import server_command
    from dibs.registration.plan import registration, removal

    root = find_root(current_folder(), isolated=True)  # a worktree has configuration files of its own
    variables = _variables(flags)
    command = server_command()
    names = dict.fromkeys(clients or [name for name, one in CLIENTS.items() if one.is_used_in(root)])
    chosen = [CLIENTS[name] for name in names]
    told = Told(
        command,
        [
            removal(one, root, force=force)
            if remove
            else registration(one, root, command, variables, force=force)
            for one in chosen
        ],
    )
    if not as_json:
        _show(told, root, listed=not clients, remove=remove)
    status = 0
    if clients and not dry_run:
        status = _carry_out(told, yes=yes, as_json=as_json) or _try_out(told, root, as_json=as_json)
    if as_json:
        print_json(told.as_json(root))
    sys.exit(status)


def _variables(flags: dict[str, str | None]) -> dict[str, str]:
    """The variables that the flags stand for. Raises InvalidInput as the server would."""
    settings = Settings.read(flags, {})
    given = {name: str(getattr(settings, name)) for name, value in flags.items() if value is not None}
    if settings.is_server_url and urlsplit(given["db"]).password:
        raise InvalidInput(
            "--db holds a password, and these files are often shared. Name the database without it (the password can "
            "come from ~/.pgpass), or set DIBS_DB in the environment of your agents.",
            field="--db",
        )
    if "db" in given and not settings.is_server_url:
        given["db"] = str(
            Path(given["db"]).expanduser().absolute()
        )  # clients start servers in folders of their own
    return {f"DIBS_{name.upper()}": value for name, value in given.items()}


def _show(told: Told, root: Path, *, listed: bool, remove: bool) -> None:
    from dibs.registration.command import shown

    if not told.changes:
        click.echo(f"No client is in use in {root} yet. Name one or more: {', '.join(CLIENTS)}.")
        return
    if not remove:
        click.echo(f"The command is `{shown(told.command.words)}`: {told.command.why}.")
    for one in told.changes:
        where = f"{one.client.title}, {one.file.relative_to(root)}"
        if one.kind == "nothing":
            click.echo(f"{where}: nothing is to be done.")
            continue
        click.echo(f"{where}:")
        for line in one.diff(root).splitlines():
            click.echo(click.style(line, fg=COLOURS.get(line[:1])))
    if listed:
        names = " ".join(one.client.name for one in told.changes)
        click.echo(f"Nothing was changed. To do it: dibs init {'--remove ' if remove else ''}{names}")


def _carry_out(told: Told, *, yes: bool, as_json: bool) -> int:
    """Ask, and write; returns the exit status."""
    todo = [one for one in told.changes if one.kind != "nothing"]
    if not todo:
        return 0
    if not yes and (as_json or not sys.stdin.isatty()):
        click.echo("Nothing was changed: there is nobody to ask. --yes writes it.", err=True)
        return UNASKED
    if not yes:
        what = "it" if len(todo) == 1 else f"these {len(todo)} files"
        click.confirm(f"Write {what}?", default=True, abort=True)
    from dibs.registration.atomic_write import write

    for one in todo:
        write(one)
        if one.entry is None:
            click.echo(f"{one.client.title}: taken out.", err=as_json)
    told.written = True
    return 0


def _try_out(told: Told, root: Path, *, as_json: bool) -> int:
    """Start the server of each entry, written now or before, as its client would; returns the exit status."""
    from dibs.registration.probe import Start

    tried: dict[Start, tuple[str, bool]] = {}
    for one in told.changes:
        if one.entry is None:
            continue
        start = Start.of(one.client, one.entry)
        if start not in tried:
            tried[start] = _try(start, root)
        says, answered = tried[start]
        done, note = ("unchanged", "") if one.kind == "nothing" else ("written", one.client.note)
        told.answers[one.client.name] = says = f"{done}, {says}"
        click.echo(f"{one.client.title}: {says} {note}".rstrip(), err=as_json or not answered)
    return 0 if all(answered for _, answered in tried.values()) else 1


def _try(start: Start, root: Path) -> tuple[str, bool]:
    """Start the server as the client would: what there is to say of it, and whether it answers."""
    from dibs import __version__
    from dibs.registration.probe import ServerSilent, try_start

    try:
        answer = try_start(start, root)
    except ServerSilent as silence:
        return f"but the server does not answer: {silence}", False
    says = f"and the server answers: version {answer.version}, project {answer.project} in {answer.database}."
    if answer.version != __version__:
        says += f" It is not this one, which is {__version__}: another comes first on PATH."
    return says, True
