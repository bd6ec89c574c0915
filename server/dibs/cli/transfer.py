"""`dibs backup`, `restore` and `copy`: transfer whole backlogs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dibs.cli import options
from dibs.cli.escaped_text import counted
from dibs.regular_file import irregularity
from dibs.root_folder import find_root
from dibs.settings import UNNAMED, Settings, is_url, project_of
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from dibs.transfer.project_rows import Progress


@click.command()
@click.argument("target", type=click.Path(path_type=Path), required=False)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    help="Afterwards delete all but the newest N backups of this project in that folder.",
)
@click.option("--force", is_flag=True, help="Replace TARGET if it is a backup, and nothing else.")
@options.backlog_command
def backup(target: Path | None, *, keep: int | None, force: bool, as_json: bool, **flags: Any) -> None:
    """Back up the project while agents work: to TARGET, a file or a folder, or to the folder of the database.

    The file is one snapshot, and is checked before it gets its name. It refuses writes; `dibs restore` makes a
    live backlog from it, in a file or on a server.
    """
    from dibs.database.project_row import called
    from dibs.transfer.backup import back_up, backup_name, rotate
    from dibs.transfer.bulk import BulkDatabase

    settings = Settings.read(flags)
    source = BulkDatabase(settings)
    is_folder = target is None or irregularity(target) == "a folder"
    name = settings.project if source.file is None or settings.project != UNNAMED else source.file.stem
    if target is None:
        target = (source.file or settings.model_copy(update={"db": None}).database_file()).parent
    if keep is not None and not is_folder:
        raise InvalidInput("--keep counts backups that Dibs has named. Name a folder, not a file.", field="keep")
    with options.ended_by_signals(), progress_bar("opening") as progress:
        path = target / backup_name(name) if is_folder else target
        done = back_up(source, path, force=force, progress=progress)
    if keep is not None:
        rotate(target, name, done, keep)
    if as_json:
        options.print_json(asdict(done))
        return
    click.echo(
        f"{_contents(done.rows)} of the {called(done.project)} are in {done.file} "
        f"({done.bytes / 1_048_576:.1f} MiB), as one snapshot, and checked ({done.seconds:.1f} s)."
    )
    if done.claims:
        click.echo(f"It contains {counted(done.claims, 'claim')}, which a restore releases.")
    for old in done.removed:
        click.echo(f"Deleted {old}.")
    _warn(done.unsound, "and also in the backup. `dibs doctor` shows the details.")


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--to", help="The same as --db.")
@click.option("--force", is_flag=True, help="Rename an existing project that nobody uses; nothing is deleted.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@options.settings_options(*options.PLACE)
@options.say_refusals
def restore(source: Path, *, to: str | None, force: bool, as_json: bool, **flags: Any) -> None:
    """Make a live backlog from the backup SOURCE, in a file or on a server; a live one is never overwritten.

    Running servers treat the project as a new one. Claims that were live at the time of the backup are released.
    """
    from dibs.transfer.restore import mark_of, restore_project

    flags["db"] = to or flags["db"]
    backed_up = mark_of(source).project
    flags["project"] = (
        flags["project"] or os.environ.get("DIBS_PROJECT") or (backed_up if backed_up != UNNAMED else None)
    )
    goal = Settings.read(flags)  # on a server, a project without a name of its own gets the one that clients look for
    with options.ended_by_signals(), progress_bar("reading the backup") as progress:
        done = restore_project(source, goal, force=force, progress=progress)
    if as_json:
        options.print_json(asdict(done))
        return
    click.echo(
        f"{_contents(done.rows)}, backed up from {done.origin} at {done.made}, "
        f"are live at {done.target} now, and checked ({done.seconds:.1f} s)."
    )
    if done.released:
        click.echo(f"{counted(len(done.released), 'claim')} from the time of the backup ended: released.")
    if done.aside:
        click.echo(f"The earlier project is stored as {done.aside}.")
    if goal.is_server_url:
        click.echo(f"Servers need DIBS_PROJECT={done.project}, unless their root folder is called {done.project}.")
    elif done.project != UNNAMED:
        click.echo(f"Servers need DIBS_PROJECT={done.project}.")
    _warn(done.unsound, "as in the backup. `dibs doctor --repair-counters` recomputes the counters.")


def _contents(rows: Mapping[str, int]) -> str:
    return f"{counted(rows['features'], 'feature')} and {counted(rows['events'], 'event')}"


def _warn(unsound: list[str], consequence: str) -> None:
    if unsound:
        click.echo(f"dibs: {' and '.join(unsound)} in the backlog differ from the audit, {consequence}", err=True)


WHERE = Settings.model_fields["db"].description


@click.command("copy")
@click.option("--from", "source", required=True, help=f"Where the project is. {WHERE}")
@click.option("--to", "target", required=True, help=f"Where to move it. {WHERE}")
@click.option("--project", help="The project to move. [DIBS_PROJECT]")
@click.option("--to-project", help="Its name there.  [default: the same, or else the name that clients look for]")
@click.option(
    "--with-claims", is_flag=True, help="Copy live claims too; without this flag they make the command refuse."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@options.say_refusals
def copy(
    *, source: str, target: str, project: str | None, to_project: str | None, with_claims: bool, as_json: bool
) -> None:
    """Move a project to another database, completely or not at all, with ids, tokens, questions and events.

    The copy is compared with the source before it becomes live. The source is marked as moved, and refuses writes.
    After a crash, the same command finishes the copy. To go back, copy in the other direction.
    """
    from dibs.transfer.bulk import BulkDatabase
    from dibs.transfer.copy import copy_project

    origin = Settings.read({"db": source, "project": project})
    name = to_project or project or os.environ.get("DIBS_PROJECT") or None
    if name is None and is_url(target) and not origin.is_server_url:
        folder = origin.database_file().parent
        if folder.name == ".dibs":
            name = project_of(find_root(folder.parent))  # the root folder of the source's clients
    goal = Settings.read({"db": target, "project": name})
    with progress_bar("waiting for both databases") as progress:
        done = copy_project(BulkDatabase(origin), BulkDatabase(goal), with_claims=with_claims, progress=progress)
    if as_json:
        options.print_json(asdict(done))
        return
    if done.finished:
        click.echo(f"The copy at {done.target} was complete already, and is live now.")
    else:
        click.echo(f"{_contents(done.rows)} are at {done.target} now, compared row by row ({done.seconds:.1f} s).")
    if done.events_renumbered_by:
        click.echo(
            f"The target had events with the same ids; the copied ids are greater by {done.events_renumbered_by}."
        )
    if done.claims:
        click.echo(f"It has {counted(done.claims, 'claim')}, whose tokens work there.")
    named = f" and DIBS_PROJECT={done.to_project}" if goal.is_server_url or done.to_project != UNNAMED else ""
    click.echo(
        f"{done.source} refuses writes from now on. Set DIBS_DB to the new database{named}, and restart the servers."
    )
    if goal.is_server_url:
        click.echo(f"In a root folder that is called {done.to_project}, clients find the project without DIBS_PROJECT.")


@contextmanager
def progress_bar(first: str) -> Iterator[Progress]:
    """Show a progress bar on standard error if that is a terminal; `first` is its first description."""
    from rich import progress as rich_progress
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(first, total=None)
        yield lambda what, rows, total: bar.update(task, description=what, completed=rows, total=total)
