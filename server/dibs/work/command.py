"""`dibs work`: run a command of your own for each feature."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sys
from pathlib import Path
from typing import Any, get_args

import click

from dibs.cli.options import PLACE, say_refusals, settings_options
from dibs.platform.processes import host_name
from dibs.root_folder import current_folder, state_folder
from dibs.settings import Settings
from dibs.work.worktrees import Keep
from dibs_schema.refusals import InvalidInput

DAYS = 7 * 86_400


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--agents", type=click.IntRange(1, 500), default=1, show_default=True, help="How many run at a time.")
@click.option("--worktrees", is_flag=True, help="Give each feature a git worktree, made when it is claimed.")
@click.option("--base", metavar="BRANCH", help="What worktrees begin with.  [default: HEAD of this checkout]")
@click.option(
    "--then",
    metavar="COMMAND",
    help="After a success, run this in this checkout, one at a time; then pass the feature.",
)
@click.option(
    "--keep",
    type=click.Choice(get_args(Keep)),
    default="failed",
    show_default=True,
    help="Which worktrees stay. `failed`: those with work that did not pass.",
)
@click.option("--no-commit", is_flag=True, help="Do not commit what the command leaves uncommitted in a worktree.")
@click.option("--prompt", type=click.Path(path_type=Path), help="The prompt's file.  [default: .dibs/prompt.md]")
@click.option("--init", is_flag=True, help="Write a first .dibs/prompt.md, and do nothing else.")
@click.option("--category", help="Claim features of this category only.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, DAYS, min_open=True),
    metavar="SECONDS",
    help="How long a command may run.  [default: DIBS_HOLD_LIMIT, 7200]",
)
@click.option(
    "--back-off",
    type=click.FloatRange(0, 900),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="The first pause after a rate limit.",
)
@click.option("--logs", is_flag=True, help="Write the commands' output to .dibs/logs/, a file for each attempt.")
@settings_options("agent", *PLACE)
@say_refusals
def work(command: tuple[str, ...], *, init: bool, **given: Any) -> None:
    """Claim features, and run COMMAND for each: `dibs work --agents 4 -- claude -p "{prompt}"`.

    COMMAND gets the feature as JSON on standard input, after the prompt unless an argument has {prompt}, and
    DIBS_FEATURE_ID, DIBS_FEATURE_NAME, DIBS_BRANCH, DIBS_TRAILER and DIBS_CLAIM. Status 0 passes the feature; 75 means a
    rate limit, which puts it back; 126 and 127 end the loop; any other fails it. An outcome that the command has recorded
    itself stands. The first Ctrl-C gives all claims back, a second ends at once.

    The exit status is 0 when all work is done, 5 if the rest waits for a person, and 128 and more after a signal.
    """
    settings = Settings.read({name: given.pop(name) for name in ("agent", *PLACE)})
    state = state_folder(None if settings.is_server_url else settings.database_file(), isolated=settings.isolated)
    if init:
        from dibs.work.prompt import write_starting_text

        click.echo(write_starting_text(state))
        return
    if not command:
        raise InvalidInput("Name the command that builds a feature: dibs work -- COMMAND…", field="command")
    if settings.claim is not None:
        raise InvalidInput(
            "DIBS_CLAIM is set: this shell works for one claim, and claims nothing else.", field="DIBS_CLAIM"
        )
    folder = current_folder()
    if not _can_be_found(command[0], folder, in_worktree=given["worktrees"]):
        click.echo(f"dibs: {command[0]}: command not found", err=True)
        sys.exit(127)
    from dibs.transfer.bulk import inspect_schema

    inspect_schema(settings)  # raises NotFound if there is no backlog
    sys.exit(asyncio.run(_run(command, settings, state, folder, given)))


def _can_be_found(program: str, folder: Path, *, in_worktree: bool) -> bool:
    """Return whether a program can be started. A program in a worktree is known only after the worktree is made."""
    if Path(program).name != program:
        return in_worktree or shutil.which(folder / program) is not None
    return shutil.which(program) is not None


async def _run(command: tuple[str, ...], settings: Settings, state: Path, folder: Path, given: dict[str, Any]) -> int:
    from dibs.client import Backlog
    from dibs.work.attempt import Unworkable
    from dibs.work.loop import RETRY_FOR, Loop, Options
    from dibs.work.output import Screen
    from dibs.work.prompt import read_prompt
    from dibs.work.worktrees import Repository

    screen, place = Screen(), settings.place()
    repository = await Repository.find(folder, state / "worktrees", given["base"]) if given["worktrees"] else None
    if repository is not None and await repository.is_dirty():
        await screen.say(f"dibs work: {repository.checkout} has uncommitted changes, which are not in the worktrees")
    timeout = given["timeout"] or settings.hold_limit
    options = Options(
        name=(settings.agent or f"work-{host_name()}")[:90],
        agents=given["agents"],
        command=command,
        folder=folder,
        state=state / "work" / hashlib.sha256(repr(sorted(place.items())).encode()).hexdigest()[:12],
        prompt=read_prompt(state, given["prompt"]),
        then=given["then"],
        category=given["category"],
        keep=given["keep"],
        commit=not given["no_commit"],
        timeout=timeout,
        back_off=given["back_off"],
        logs=state / "logs" if given["logs"] else None,
    )
    limit = max(settings.hold_limit, min(timeout + 600, DAYS))
    async with Backlog.open(
        retry_for=RETRY_FOR, db=place["DIBS_DB"], project=place["DIBS_PROJECT"], hold_limit=limit
    ) as backlog:
        try:
            return await Loop(backlog, options, repository, place, screen).run()
        except Unworkable as problem:
            click.echo(f"dibs: {problem}", err=True)
            return problem.status
