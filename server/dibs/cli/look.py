"""`dibs status`, `dibs list` and `dibs show`: look at a backlog."""

from __future__ import annotations

from typing import Any

import click

from dibs.cli.options import backlog, looks_at_backlog, print_json
from dibs_schema.inputs import GREATEST_ID
from dibs_schema.status import Status


@click.command()
@looks_at_backlog
def status(*, as_json: bool, **flags: Any) -> None:
    """Say how far the project is."""
    from dibs.database.project import backup_of, new_place
    from dibs.queries.stats import get_stats

    with backlog(flags) as database:
        stats, mark = database.read_now(lambda tx: (get_stats(tx, database.label), tx.project.moved_to))
    told = {"moved_to": new_place(mark), "backup_of": backup_of(mark)}
    if as_json:
        print_json(stats.wire() | {name: words for name, words in told.items() if words})
    else:
        from dibs.cli.words import say_stats

        say_stats(stats, **told)


@click.command("list")
@click.option("--text", help="Part of name, category or reference.")
@click.option("--status", "wanted", type=click.Choice([str(one) for one in Status]), help="Only of this status.")
@click.option("--category", help="Only of this category.")
@click.option("--agent", help="Held or passed by this agent.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="At most so many.")
@click.option("--cursor", help="Go on after the last list.")
@looks_at_backlog
def list_features(
    *,
    text: str | None,
    wanted: str | None,
    category: str | None,
    agent: str | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """List features."""
    from dibs.queries.search import search

    with backlog(flags) as database:
        page = database.read_now(
            lambda tx: search(tx, text=text, status=wanted, category=category, agent=agent, limit=limit, cursor=cursor)
        )
    if as_json:
        print_json(page.wire())
    else:
        from dibs.cli.words import say_page

        say_page(page)


@click.command()
@click.argument("feature_id", type=click.IntRange(1, GREATEST_ID))
@looks_at_backlog
def show(feature_id: int, *, as_json: bool, **flags: Any) -> None:
    """Show everything that is known of a feature, and its history."""
    from dibs.queries.get import get_by_id
    from dibs.queries.history import get_history

    with backlog(flags) as database:
        feature, history = database.read_now(lambda tx: (get_by_id(tx, feature_id), get_history(tx, feature_id)))
    if as_json:
        print_json(feature.wire() | {"history": history.wire()["events"]})
    else:
        from dibs.cli.words import say_feature

        say_feature(feature, history)
