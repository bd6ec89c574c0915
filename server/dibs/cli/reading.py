"""What agents in a shell look at; each command answers what its tool answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import click

from dibs.cli.calling import Call, calls
from dibs.cli.claiming import forget_ended
from dibs.cli.options import Command
from dibs_schema.answers import Answer
from dibs_schema.inputs import (
    Agent,
    Category,
    Cursor,
    Depth,
    FeatureId,
    Fifty,
    Hundred,
    Several,
    StatusName,
    Ten,
)
from dibs_schema.status import Status

feature_id = click.argument("feature_id", type=int)
cursor = click.option("--cursor", help="Go on after the last answer: its next_cursor.")


def limited(most: int, default: int) -> Callable[[Command], Command]:
    """The option that says how many are listed."""

    def around(command: Command) -> Command:
        words = f"At most so many, up to {most}."
        add = click.option("--limit", type=int, default=default, show_default=True, help=words)
        return add(command)

    return around


@click.command()
@feature_id
@cursor
@calls("feature_get_by_id")
def get(call: Call, feature_id: FeatureId, cursor: Cursor | None) -> Answer:
    """Read one feature whole. To build it, claim it; `dibs show` has its history, too."""
    from dibs.queries.get import get_by_id

    return call.read(lambda tx: get_by_id(tx, feature_id, cursor))


@click.command()
@click.argument("feature_ids", type=int, nargs=-1, required=True)
@calls("feature_get_summary")
def summary(call: Call, feature_ids: Several) -> Answer:
    """A line each for features by id."""
    from dibs.queries.get import summaries

    return call.read(lambda tx: summaries(tx, feature_ids))


@click.command()
@click.argument("text", required=False)
@click.option("--status", type=click.Choice([str(one) for one in Status]), help="Only of this status.")
@click.option("--category", help="Only of this category.")
@click.option("--agent", help="Held or passed by this agent.")
@click.option(
    "--detail",
    type=click.Choice(["brief", "full"]),
    default="brief",
    show_default=True,
    help="A line each, or their own texts, too.",
)
@limited(100, 20)
@cursor
@calls("feature_search")
def search(
    call: Call,
    text: Category | None,
    status: StatusName | None,
    category: Category | None,
    agent: Agent | None,
    detail: Literal["brief", "full"],
    limit: Hundred,
    cursor: Cursor | None,
) -> Answer:
    """Find features by TEXT in name, category or reference."""
    from dibs.queries import search

    return call.read(
        lambda tx: search.search(
            tx,
            text=text,
            status=status,
            category=category,
            agent=agent,
            detail=detail,
            limit=limit,
            cursor=cursor,
        )
    )


@click.command()
@limited(50, 10)
@cursor
@calls("feature_get_ready")
def ready(call: Call, limit: Fifty, cursor: Cursor | None) -> Answer:
    """List what can be claimed. To get work, claim instead."""
    from dibs.queries import search

    return call.read(lambda tx: search.get_ready(tx, limit, cursor))


@click.command()
@limited(100, 20)
@cursor
@calls("feature_get_blocked")
def blocked(call: Call, limit: Hundred, cursor: Cursor | None) -> Answer:
    """List what cannot be claimed, and why."""
    from dibs.queries import search

    return call.read(lambda tx: search.get_blocked(tx, limit, cursor))


@click.command()
@click.option("--root", type=int, help="Only what this feature builds on.")
@click.option("--depth", type=int, help="No further from the root than so many edges.")
@limited(100, 50)
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "mermaid"]),
    default="json",
    show_default=True,
    help="As data, or as a mermaid flowchart.",
)
@calls("feature_get_graph")
def graph(
    call: Call, root: FeatureId | None, depth: Depth | None, limit: Hundred, form: Literal["json", "mermaid"]
) -> Answer:
    """See which features depend on which."""
    from dibs.queries.graph import get_graph

    return call.read(lambda tx: get_graph(tx, root=root, depth=depth, limit=limit, form=form))


@click.command()
@feature_id
@limited(100, 20)
@cursor
@calls("feature_get_history")
def history(call: Call, feature_id: FeatureId, limit: Hundred, cursor: Cursor | None) -> Answer:
    """Events of a feature, newest first."""
    from dibs.queries.history import get_history

    return call.read(lambda tx: get_history(tx, feature_id, limit, cursor))


@click.command()
@click.option("--by", type=click.Choice(["category", "agent"]), help="Also in groups.")
@calls("feature_get_stats")
def stats(call: Call, by: Literal["category", "agent"] | None) -> Answer:
    """Progress of the project."""
    from dibs.queries.stats import get_stats

    with call.backlog() as database:
        return database.read_now(lambda tx: get_stats(tx, database.label, by))


@click.command()
@limited(10, 3)
@calls("feature_get_for_regression", "agent")
def regression(call: Call, limit: Ten) -> Answer:
    """Get the passing features tested longest ago, reserved for you for 30 minutes.

    Test each, then call `dibs pass` or `dibs fail`.
    """
    from dibs.verbs.regression import take_for_regression

    with call.backlog() as database:
        taken = database.write_now(lambda tx: take_for_regression(tx, limit, call.author))
        forget_ended(database, call.shelf(database))  # a report on them is about no earlier claim
        return taken
