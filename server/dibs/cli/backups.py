"""`dibs backup` and `dibs restore`: a project in a file of its own, and back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dibs.cli.options import PLACE, looks_at_backlog, print_json, say_refusals, settings_options
from dibs.cli.progress import progress
from dibs.cli.signals import ended_by_signals
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from dibs.transfer.backup import BackedUp
    from dibs.transfer.restore import Restored


@click.command()
@click.argument("target", type=click.Path(path_type=Path), required=False)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    help="Then remove all but the newest N backups of this project there.",
)
@click.option("--force", is_flag=True, help="Replace the file TARGET, if it is no live backlog.")
@looks_at_backlog
def backup(target: Path | None, *, keep: int | None, force: bool, as_json: bool, **flags: Any) -> None:
    """Back the project up while agents work: into TARGET, a file or a folder, or beside the database.

    The file is one snapshot, and checked before it gets its name. Nobody can work in it by accident:
    `dibs restore` makes a backlog of it again, in a file or on a server.
    """
    from dibs.transfer.backup import back_up, rotate
    from dibs.transfer.backup_file import backup_name
    from dibs.transfer.exclusive import Site

    settings = Settings.read(flags)
    source = Site(settings)
    own = target is None or target.is_dir()
    name = settings.project if source.file is None or settings.project != "default" else source.file.stem
    if target is None:
        target = (source.file or settings.model_copy(update={"db": None}).database_file().absolute()).parent
    if keep is not None and not own:
        raise InvalidInput(
            "--keep counts backups that Dibs has named: name a folder, not a file.", field="keep"
        )
    with ended_by_signals(), progress("opening") as watch:
        done = back_up(source, target / backup_name(name) if own else target, force=force, watch=watch)
    if keep is not None:
        rotate(target, name, done, keep)
    if as_json:
        print_json(done.wire())
    else:
        _print_backup(done)


def _print_backup(done: BackedUp) -> None:
    rows = done.rows
    click.echo(
        f"{rows['features']} features and {rows['events']} events of {done.project!r} are in {done.file} "
        f"({done.bytes / 1_048_576:.1f} MiB), as one snapshot, and checked ({done.seconds:.1f} s)."
    )
    if done.claims:
        click.echo(f"{done.claims} claims are in it; restoring gives them back.")
    for old in done.removed:
        click.echo(f"Removed {old}.")
    _warn(done.unsound, "The backlog's", "so do those of the backup. `dibs doctor` tells more.")


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--to", help="The same as --db.")
@click.option("--force", is_flag=True, help="Set aside what is there, if nobody uses it; nothing is deleted.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@settings_options(*PLACE)
@say_refusals
def restore(source: Path, *, to: str | None, force: bool, as_json: bool, **flags: Any) -> None:
    """Make a live backlog of the backup SOURCE, in a file or on a server, and never over one that is there.

    The project is a new one to servers that still run. Claims that were live when the backup was made are given back.
    """
    from dibs.transfer.restore import mark_of, restore_project

    flags["db"] = to or flags["db"]
    flags["project"] = flags["project"] or os.environ.get("DIBS_PROJECT") or mark_of(source).project
    with ended_by_signals(), progress("reading the backup") as watch:
        done = restore_project(source, Settings.read(flags), force=force, watch=watch)
    if as_json:
        print_json(done.wire())
    else:
        _print_restored(done)


def _print_restored(done: Restored) -> None:
    rows = done.rows
    click.echo(
        f"{rows['features']} features and {rows['events']} events, as {done.origin} had them at {done.made}, are live at "
        f"{done.target} now, and checked ({done.seconds:.1f} s)."
    )
    if done.released:
        click.echo(f"{len(done.released)} claims of then were given back.")
    if done.aside:
        click.echo(f"What was there until now is kept as {done.aside}.")
    if done.project != "default":
        click.echo(f"Servers need DIBS_PROJECT={done.project}.")
    _warn(
        done.unsound,
        "Its",
        "they did so in the backup. `dibs doctor --repair-counters` recounts what can be counted.",
    )


def _warn(unsound: list[str], whose: str, what: str) -> None:
    if unsound:
        click.echo(f"dibs: {whose} {' and '.join(unsound)} do not agree with a recount; {what}", err=True)
