"""`dibs copy`: move a project to another database."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from dibs.cli.options import print_json, say_refusals
from dibs.cli.progress import progress_bar
from dibs.settings import Settings

if TYPE_CHECKING:
    from dibs.transfer.copy import Copied

PLACE = Settings.model_fields["db"].description


@click.command("copy")
@click.option("--from", "source", required=True, help=f"Where the project is. {PLACE}")
@click.option("--to", "target", required=True, help=f"Where to move it. {PLACE}")
@click.option("--project", help="The project to move. [DIBS_PROJECT]")
@click.option("--to-project", help="Its name there.  [default: the same]")
@click.option(
    "--with-claims",
    is_flag=True,
    help="Copy live claims too; without this flag they make the command refuse.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@say_refusals
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
    goal = Settings.read({"db": target, "project": to_project or origin.project})
    here, there = BulkDatabase(origin), BulkDatabase(goal)
    try:
        with progress_bar("waiting for both databases") as progress:
            done = copy_project(here, there, with_claims=with_claims, progress=progress)
    finally:
        here.close()
        there.close()
    if as_json:
        print_json(asdict(done))
    else:
        _print(done)


def _print(done: Copied) -> None:
    if done.finished:
        click.echo(f"The copy at {done.target} was complete already, and is live now.")
    else:
        rows = done.rows
        click.echo(
            f"{rows['features']} features and {rows['events']} events are at {done.target} now, compared row by row "
            f"({done.seconds:.1f} s)."
        )
    if done.events_renumbered_by:
        click.echo(
            f"The target had events with the same ids; the copied ids are greater by {done.events_renumbered_by}."
        )
    if done.claims:
        click.echo(f"{done.claims} claims were copied; their tokens work there.")
    named = f" and DIBS_PROJECT={done.to_project}" if done.to_project != "default" else ""
    click.echo(
        f"{done.source} refuses writes from now on. Set DIBS_DB to the new database{named}, and restart the servers."
    )
