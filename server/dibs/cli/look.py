"""`dibs status`, `dibs list` and `dibs show`: look at a backlog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dibs.cli.options import backlog, looks_at_backlog, print_json
from dibs_schema.inputs import GREATEST_ID
from dibs_schema.status import Status

if TYPE_CHECKING:
    from dibs_schema.answers import Feature, History, Page, Stats

STYLES = {
    "ready": "green",
    "pending": "white",
    "in_progress": "yellow",
    "passing": "bright_green",
    "needs_human": "magenta",
    "stuck": "red",
    "archived": "bright_black",
}


@click.command()
@looks_at_backlog
def status(*, as_json: bool, **flags: Any) -> None:
    """Say how far the project is."""
    from dibs.database.moves import backup_of, new_place
    from dibs.verbs.stats import get_stats

    with backlog(flags) as database:
        stats, mark = database.read_now(lambda tx: (get_stats(tx, database.label), tx.project.moved_to))
    told = {"moved_to": new_place(mark), "backup_of": backup_of(mark)}
    if as_json:
        print_json(stats.wire() | {name: words for name, words in told.items() if words})
    else:
        _print_stats(stats, **told)


def _print_stats(stats: Stats, moved_to: str | None, backup_of: str | None) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    counts = stats.counts.model_dump()
    for name, style in STYLES.items():
        if counts[name]:
            note = " (part of pending)" if name == "ready" else ""
            table.add_row(f"[{style}]{name}[/]", str(counts[name]) + note)
    console = Console()
    console.print(
        f"[bold]{stats.project}[/] {stats.percent_passing:g} % passing, {stats.total} features",
        highlight=False,
    )
    console.print(ProgressBar(total=100, completed=stats.percent_passing, width=50), "")
    console.print(table)
    if stats.open_questions:
        console.print(f"{stats.open_questions} open questions to the user: `dibs answer` lists them.")
    if moved_to:
        console.print(
            f"[yellow]This is as it was when the project moved to {escape(moved_to)}.[/]", soft_wrap=True
        )
    if backup_of:
        console.print(f"[yellow]This is a backup of {escape(backup_of)}.[/]", soft_wrap=True)
    console.print(f"[dim]{stats.database}[/]", highlight=False, soft_wrap=True)


@click.command("list")
@click.option("--text", help="Part of name, category or reference.")
@click.option(
    "--status", "wanted", type=click.Choice([str(one) for one in Status]), help="Only of this status."
)
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
    from dibs.verbs.lists import search

    with backlog(flags) as database:
        page = database.read_now(
            lambda tx: search(
                tx, text=text, status=wanted, category=category, agent=agent, limit=limit, cursor=cursor
            )
        )
    if as_json:
        print_json(page.wire())
    else:
        _print_page(page)


def _print_page(page: Page) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="dim")
    for heading in ("id", "status", "category", "name", "held by"):
        table.add_column(heading, justify="right" if heading == "id" else "left")
    for row in page.features:
        colour = STYLES[row.status]
        table.add_row(
            str(row.id),
            f"[{colour}]{row.status}[/]",
            escape(row.category),
            escape(row.name),
            escape(row.agent or ""),
        )
    console = Console()
    console.print(table)
    more = f"; go on with --cursor {page.next_cursor}" if page.next_cursor else ""
    console.print(f"[dim]{len(page.features)} of {page.total}{more}[/]", highlight=False)


@click.command()
@click.argument("feature_id", type=click.IntRange(1, GREATEST_ID))
@looks_at_backlog
def show(feature_id: int, *, as_json: bool, **flags: Any) -> None:
    """Show everything that is known of a feature, and its history."""
    from dibs.verbs.history import get_history
    from dibs.verbs.look import get_by_id

    with backlog(flags) as database:
        feature, history = database.read_now(
            lambda tx: (get_by_id(tx, feature_id), get_history(tx, feature_id))
        )
    if as_json:
        print_json(feature.wire() | {"history": history.wire()["events"]})
    else:
        _print_feature(feature, history)


def _print_feature(feature: Feature, history: History) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    colour = STYLES[feature.status]
    console.print(f"[bold]{feature.id} {escape(feature.name)}[/]  [{colour}]{feature.status}[/]")
    console.print(escape(feature.description or ""))
    for number, step in enumerate(feature.steps, 1):
        console.print(f"  {number}. {escape(step)}")
    told = feature.wire()
    for name in ("id", "name", "status", "description", "steps", "next_cursor"):
        told.pop(name, None)
    for name, value in told.items():
        console.print(f"[dim]{name}[/] {escape(_plain(value))}")
    if history.events:
        console.print("[dim]history, newest first[/]")
    for event in history.wire().get("events", []):
        move = f"{event['kind']} {event.get('from_status', '')} -> {event.get('to_status', '')}".strip(" ->")
        console.print(
            f"  {event['at']} {escape(event['agent'])} {move} {escape(_plain(event.get('detail', '')))}"
        )


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_plain(one)}" for name, one in value.items())
    if isinstance(value, list):
        return "; ".join(_plain(one) for one in value)
    return str(value)
