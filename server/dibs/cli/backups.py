"""`dibs backup` and `dibs restore`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dibs.cli.options import PLACE, looks_at_backlog, print_json, say_refusals, settings_options
from dibs.cli.progress import progress_bar
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
    help="Then delete all but the newest N backups of this project in that folder.",
)
@click.option("--force", is_flag=True, help="Replace the file TARGET, unless it is a live backlog.")
@looks_at_backlog
def backup(target: Path | None, *, keep: int | None, force: bool, as_json: bool, **flags: Any) -> None:
    """Back up the project while agents work: to TARGET, a file or a folder, or to the folder of the database.

    The file is one snapshot, and is checked before it gets its name. It refuses writes; `dibs restore` makes a
    live backlog from it, in a file or on a server.
    """
    from dibs.transfer.backup import back_up, backup_name, rotate
    from dibs.transfer.bulk import BulkDatabase

    settings = Settings.read(flags)
    source = BulkDatabase(settings)
    named_here = target is None or target.is_dir()
    name = settings.project if source.file is None or settings.project != "default" else source.file.stem
    if target is None:
        target = (source.file or settings.model_copy(update={"db": None}).database_file().absolute()).parent
    if keep is not None and not named_here:
        raise InvalidInput(
            "--keep counts backups that Dibs has named. Name a folder, not a file.", field="keep"
        )
    with ended_by_signals(), progress_bar("opening") as progress:
        path = target / backup_name(name) if named_here else target
        done = back_up(source, path, force=force, progress=progress)
    if keep is not None:
        rotate(target, name, done, keep)
    if as_json:
        print_json(asdict(done))
    else:
        _print_backup(done)


def _print_backup(done: BackedUp) -> None:
    rows = done.rows
    click.echo(
        f"{rows['features']} features and {rows['events']} events of {done.project!r} are in {done.file} "
        f"({done.bytes / 1_048_576:.1f} MiB), as one snapshot, and checked ({done.seconds:.1f} s)."
    )
    if done.claims:
        click.echo(f"It contains {done.claims} claims, which a restore releases.")
    for old in done.removed:
        click.echo(f"Deleted {old}.")
    _warn(done.unsound, "in the backlog", "and so in the backup. `dibs doctor` says more.")


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--to", help="The same as --db.")
@click.option(
    "--force", is_flag=True, help="Set an existing project aside, if nobody uses it; nothing is deleted."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@settings_options(*PLACE)
@say_refusals
def restore(source: Path, *, to: str | None, force: bool, as_json: bool, **flags: Any) -> None:
    """Make a live backlog from the backup SOURCE, in a file or on a server; a live one is never overwritten.

    To running servers the project is a new one. Claims that were live at the time of the backup are released.
    """
    from dibs.transfer.restore import mark_of, restore_project

    flags["db"] = to or flags["db"]
    flags["project"] = flags["project"] or os.environ.get("DIBS_PROJECT") or mark_of(source).project
    with ended_by_signals(), progress_bar("reading the backup") as progress:
        done = restore_project(source, Settings.read(flags), force=force, progress=progress)
    if as_json:
        print_json(asdict(done))
    else:
        _print_restored(done)


def _print_restored(done: Restored) -> None:
    rows = done.rows
    click.echo(
        f"{rows['features']} features and {rows['events']} events, backed up from {done.origin} at {done.made}, are "
        f"live at {done.target} now, and checked ({done.seconds:.1f} s)."
    )
    if done.released:
        click.echo(f"{len(done.released)} claims from the time of the backup were released.")
    if done.aside:
        click.echo(f"What was there before is kept as {done.aside}.")
    if done.project != "default":
        click.echo(f"Servers need DIBS_PROJECT={done.project}.")
    _warn(
        done.unsound,
        "in the backlog",
        "as in the backup. `dibs doctor --repair-counters` recomputes the counters.",
    )


def _warn(unsound: list[str], where: str, what: str) -> None:
    if unsound:
        click.echo(f"dibs: {' and '.join(unsound)} {where} differ from the audit, {what}", err=True)
