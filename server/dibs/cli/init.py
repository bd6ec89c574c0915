"""`dibs init`: register the server with the MCP clients of a project."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from dibs.cli.options import print_json, say_refusals, settings_options
from dibs.cli.project_settings import start_instructions, text_of
from dibs.registration.clients import CLIENTS
from dibs.registration.remote import Remote
from dibs.root_folder import current_folder, find_root, is_shared
from dibs.settings import ACCESS_TOKEN, PREFIX, Settings, expanded
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from dibs.registration.change import Change
    from dibs.registration.command import Command
    from dibs.registration.server_check import Launch

COLOURS = {"+": "green", "-": "red", "@": "cyan"}


OF_ALL_PROJECTS = "and each project that you open has a backlog of its own."


@dataclass(slots=True)
class InitResult:
    """The result of `dibs init`."""

    command: Command | Remote
    changes: list[Change]
    written: bool = False
    answers: dict[str, str] = field(default_factory=dict)

    def as_json(self, root: Path) -> dict[str, Any]:
        """Return the result as JSON values, as `--json` prints them."""
        clients = [
            {"client": one.client.name, "file": str(one.file), "change": one.kind, "diff": one.diff(root)}
            | ({"server": self.answers[one.client.name]} if one.client.name in self.answers else {})
            for one in self.changes
        ]
        if isinstance(self.command, Remote):
            how: dict[str, Any] = {"url": self.command.url, "token_env": self.command.variable}
        else:
            how = {"command": list(self.command.words), "why": self.command.why}
        return {
            **how,
            "clients": clients,
            "written": self.written,
        }


@click.command()
@click.argument("clients", nargs=-1, type=click.Choice(list(CLIENTS)), metavar="[CLIENT]...")
@settings_options("db", "project", "agent", "role")
@click.option(
    "--instructions",
    metavar="FILE",
    help="Start the project's instructions to every worker from FILE; - is standard input.",
)
@click.option("--url", metavar="URL", help="Register a server over HTTP, as https://dibs.example.com/mcp.")
@click.option(
    "--token-env",
    metavar="NAME",
    help="With --url: the variable with the access token in the client's environment. [default: DIBS_ACCESS_TOKEN]",
)
@click.option("--remove", is_flag=True, help="Remove the server.")
@click.option("--force", is_flag=True, help="Also replace or remove another server that is called `features`.")
@click.option(
    "--nudge/--no-nudge",
    default=None,
    help="Add three lines about the backlog to AGENTS.md and CLAUDE.md, or do not ask.  [default: ask]",
)
@click.option("--user", is_flag=True, help="Allow the files of your home folder, which apply to all your projects.")
@click.option("--yes", "-y", is_flag=True, help="Write without asking.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and do not ask.")
@say_refusals
def init(
    clients: tuple[str, ...],
    *,
    instructions: str | None,
    url: str | None,
    token_env: str | None,
    remove: bool,
    force: bool,
    nudge: bool | None,
    user: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Register the server with the MCP clients of this project, and check that it answers.

    CLIENT is claude, codex, cursor, vscode, opencode or gemini. Without CLIENT, the command lists the clients in use
    here, and changes nothing. It shows the difference before it writes, and keeps everything else in the files. --db,
    --project, --agent and --role are written to the entry, and stay there until they are given again. Without them, a
    second run changes nothing, and only checks the server. With --url the entry names a server over HTTP, and the
    variable with its access token; the token itself never goes into a file.

    At a terminal it then offers to start the project's instructions, which each claim brings, from a file
    (--instructions does so without asking), and to tell agents of the backlog in three lines of AGENTS.md and CLAUDE.md
    (--nudge). --remove takes these lines out again, also where another client stays; --no-nudge keeps them.

    The exit status is 1 if the server does not answer, and 3 if there is something to write but no terminal to
    confirm it.
    """
    from dibs.registration.change import registration, removal
    from dibs.registration.command import server_command
    from dibs.registration.nudge import nudges

    root = find_root(current_folder(), isolated=True)  # a worktree has configuration files of its own
    if clients and is_shared(root) and not user:
        raise InvalidInput(
            f"{root} is the folder of many projects, and its configuration applies to all of them. Run the command in "
            "the folder of a project, or add --user.",
            field="--user",
        )
    has_backlog_here = bool(clients) and url is None and not (remove or is_shared(root))
    if instructions is not None and not has_backlog_here:
        raise InvalidInput("--instructions: it goes with a CLIENT, in the folder of a project.", field="--instructions")
    text = text_of(instructions, "--instructions") if instructions is not None else None
    variables = _variables(flags)
    command: Command | Remote = server_command() if url is None else _remote(url, token_env, variables)
    if url is None and token_env is not None:
        raise InvalidInput("--token-env goes with --url.", field="--token-env")
    names = dict.fromkeys(clients or [name for name, one in CLIENTS.items() if one.is_used_in(root)])
    chosen = [CLIENTS[name] for name in names]
    result = InitResult(
        command,
        [
            removal(one, root, force=force) if remove else registration(one, root, command, variables, force=force)
            for one in chosen
        ],
    )
    if not as_json:
        _show(result, root, listed=not clients, remove=remove, agent=variables.get("DIBS_AGENT"))
    status = 0
    told = [] if nudge is False or not (clients or nudge) else nudges(root, remove=remove)
    if clients and not dry_run:
        status = _write(result, yes=yes, as_json=as_json) or _check_servers(result, root, as_json=as_json)
    asks = has_backlog_here and not (yes or as_json) and sys.stdin.isatty()
    if status == 0 and not dry_run and (text is not None or asks):
        start_instructions(flags, text, quiet=as_json)
    asks_about_nudge = not remove and not nudge
    if told and status == 0 and not (asks_about_nudge and (yes or as_json or dry_run or not sys.stdin.isatty())):
        from dibs.cli.nudge import tell_agents

        tell_agents(told, root, asks=asks_about_nudge, dry_run=dry_run, as_json=as_json)
    if as_json:
        print_json(result.as_json(root))
    sys.exit(status)


def _variables(flags: dict[str, str | None]) -> dict[str, str]:
    """Return the variables that the flags set. Raises InvalidInput as the server would."""
    settings = Settings.read(flags, {})
    given = {name: str(getattr(settings, name)) for name, value in flags.items() if value is not None}
    if settings.is_server_url and urlsplit(given["db"]).password:
        raise InvalidInput(
            "--db holds a password, and these files are often shared. Name the database without it (the password can "
            "come from ~/.pgpass), or set DIBS_DB in the environment of your agents.",
            field="--db",
        )
    if "db" in given and not settings.is_server_url:
        given["db"] = str(expanded(given["db"]))  # clients start servers in folders of their own
    return {f"DIBS_{name.upper()}": value for name, value in given.items()}


def _remote(url: str, token_env: str | None, variables: dict[str, str]) -> Remote:
    """Return the server at a URL. Raises InvalidInput, also for settings that are the server's and its tokens'."""
    if variables:
        option = "--" + next(iter(variables)).removeprefix(PREFIX).lower()
        raise InvalidInput(f"{option}: with --url, the server and its access token decide that.", field=option)
    return Remote.at(url, token_env, ACCESS_TOKEN)


def _show(result: InitResult, root: Path, *, listed: bool, remove: bool, agent: str | None) -> None:
    if not result.changes:
        click.echo(f"No client is in use in {root} yet. Name one or more: {', '.join(CLIENTS)}.")
        return
    if not remove:
        click.echo(_how(result.command))
        if agent is not None:
            click.echo(f"A name belongs to one session: of two sessions called {agent}, only one can claim at a time.")
    for one in result.changes:
        where = f"{one.client.title}, {one.file}"
        if one.kind == "nothing":
            click.echo(f"{where}: nothing to do.")
            continue
        click.echo(f"{where}:")
        for line in one.diff(root).splitlines():
            click.echo(click.style(line, fg=COLOURS.get(line[:1])))
    if listed:
        names = " ".join(one.client.name for one in result.changes)
        click.echo(f"Nothing was changed. To write it: dibs init {'--remove ' if remove else ''}{names}")


def _how(command: Command | Remote) -> str:
    """Print how the clients reach the server."""
    if not isinstance(command, Remote):
        return f"The command is `{shlex.join(command.words)}`: {command.why}."
    if command.variable is None:
        return f"The server is {command.url}."
    return f"The server is {command.url}. Set {command.variable} to an access token where your client starts."


def _write(result: InitResult, *, yes: bool, as_json: bool) -> int:
    """Ask for confirmation and write the changes. Returns the exit status."""
    pending = [one for one in result.changes if one.kind != "nothing"]
    if not pending:
        return 0
    if not yes and (as_json or not sys.stdin.isatty()):
        click.echo("Nothing was changed: there is no terminal to confirm it. Repeat with --yes to write it.", err=True)
        return 3
    if not yes:
        what = "it" if len(pending) == 1 else f"these {len(pending)} files"
        click.confirm(f"Write {what}?", default=True, abort=True)
    from dibs.registration.change import write

    for one in pending:
        write(one)
        if one.entry is None:
            click.echo(f"{one.client.title}: removed.", err=as_json)
    result.written = True
    return 0


def _check_servers(result: InitResult, root: Path, *, as_json: bool) -> int:
    """Start the server of each new or unchanged entry as its client would, and return the exit status."""
    from dibs.registration.server_check import Launch

    checked: dict[Launch | Remote, tuple[str, bool]] = {}
    for one in result.changes:
        if one.entry is None:
            continue
        launch = Launch.of(one.client, one.entry) if not isinstance(result.command, Remote) else result.command
        if launch not in checked:
            several = is_shared(root) and isinstance(launch, Launch)
            checked[launch] = (OF_ALL_PROJECTS, True) if several else _check_server(launch, root)
        says, answered = checked[launch]
        done, note = ("unchanged", "") if one.kind == "nothing" else ("written", one.client.note)
        result.answers[one.client.name] = says = f"{done}, {says}"
        click.echo(f"{one.client.title}: {says} {note}".rstrip(), err=as_json or not answered)
    return 0 if all(answered for _, answered in checked.values()) else 1


def _check_server(launch: Launch | Remote, root: Path) -> tuple[str, bool]:
    """Start the server as the client would; return a message, and whether the server answers."""
    from dibs import __version__
    from dibs.registration.remote_check import check_remote
    from dibs.registration.server_check import ServerSilent, check_server

    try:
        answer = check_remote(launch) if isinstance(launch, Remote) else check_server(launch, root)
    except ServerSilent as silence:
        return f"but the server does not answer: {silence}", False
    version = f"version {answer.version}, " if answer.version else ""
    says = f"and the server answers: {version}project {answer.project} in {answer.database}."
    if answer.version not in (__version__, "") and not isinstance(launch, Remote):
        says += f" This command has version {__version__}: another `dibs` comes first on PATH."
    return says, True
