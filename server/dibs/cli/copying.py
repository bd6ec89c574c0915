"""`dibs copy`: move a project to another database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dibs.cli.options import print_json, say_refusals
from dibs.cli.progress import progress
from dibs.settings import Settings

if TYPE_CHECKING:
    from dibs.transfer.move_project import Copied

PLACE = Settings.model_fields["db"].description


@click.command("copy")
@click.option("--from", "source", required=True, help=f"Where the project is. {PLACE}")
@click.option("--to", "target", required=True, help=f"Where it shall be. {PLACE}")
@click.option("--project", help="The project to move. [DIBS_PROJECT]")
@click.option("--to-project", help="Its name there.  [default: the same]")
@click.option("--with-claims", is_flag=True, help="Take live claims along; else they are a reason to refuse.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@say_refusals
def copy(
    *, source: str, target: str, project: str | None, to_project: str | None, with_claims: bool, as_json: bool
) -> None:
    """Move a project to another database, all or nothing, with ids, tokens, questions and history.

    The copy is compared with what was read before it becomes live; then the source is marked as moved, and refuses
    writes. After a crash the same command finishes what is left. To go back, copy in the other direction.
    """
    from dibs.transfer.exclusive import Site
    from dibs.transfer.move_project import copy_project

    origin = Settings.read({"db": source, "project": project})
    goal = Settings.read({"db": target, "project": to_project or origin.project})
    here, there = Site(origin), Site(goal)
    try:
        with progress("waiting for both") as watch:
            done = copy_project(here, there, with_claims=with_claims, watch=watch)
    finally:
        here.close()
        there.close()
    if as_json:
        print_json(done.wire())
    else:
        _print(done)


def _print(done: Copied) -> None:
    if done.finished:
        click.echo(f"The copy at {done.target} was complete, and is live now.")
    else:
        rows = done.rows
        click.echo(
            f"{rows['features']} features and {rows['events']} events are at {done.target} now, compared row by row "
            f"({done.seconds:.1f} s)."
        )
    if done.events_renumbered_by:
        click.echo(f"The events' ids were taken there; they are greater by {done.events_renumbered_by}.")
    if done.claims:
        click.echo(f"{done.claims} claims came along; their tokens work there.")
    named = f" and DIBS_PROJECT={done.to_project}" if done.to_project != "default" else ""
    click.echo(
        f"{done.source} refuses writes from now on. Set DIBS_DB to the new place{named}, and restart servers."
    )
