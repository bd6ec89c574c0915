"""Answers in words, for people at a terminal. What others wrote is data here, too: it is never markup."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from dibs_schema.answers import (
    Acknowledgement,
    Answer,
    Asked,
    Claimed,
    Created,
    Feature,
    FeatureRow,
    Graph,
    History,
    Idle,
    Page,
    Stats,
    Summaries,
    Testing,
    Work,
)

STYLES = {
    "ready": "green",
    "pending": "white",
    "in_progress": "yellow",
    "passing": "bright_green",
    "needs_human": "magenta",
    "stuck": "red",
    "archived": "bright_black",
    "unconfirmed": "yellow",
}
UNFOLDED = 10_000
"""Columns, where nobody sees them: no row is folded."""
PARTS = {"ready": " (part of pending)", "unconfirmed": " (part of passing)"}
"""What is counted once more under another name."""


def say(answer: Answer) -> None:
    """Print an answer of any kind."""
    ways: dict[type[Answer], Callable[[Any], None]] = {
        Acknowledgement: _acknowledgement,
        Asked: _asked,
        Claimed: _claimed,
        Created: _created,
        Feature: say_feature,
        Graph: _graph,
        History: say_history,
        Idle: _idle,
        Page: say_page,
        Stats: say_stats,
        Summaries: _summaries,
        Testing: _testing,
    }
    ways[type(answer)](answer)


def say_stats(stats: Stats, moved_to: str | None = None, backup_of: str | None = None) -> None:
    """How far the project is."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    counts = stats.counts.model_dump()
    for name, style in STYLES.items():
        if counts[name]:
            note = PARTS.get(name, "")
            table.add_row(f"[{style}]{name}[/]", str(counts[name]) + note)
    console = Console()
    console.print(
        f"[bold]{escape(stats.project)}[/] {stats.percent_passing:g} % passing, {stats.total} features",
        highlight=False,
    )
    console.print(ProgressBar(total=100, completed=stats.percent_passing, width=50), "")
    console.print(table)
    for group in stats.groups:
        told = ", ".join(f"{name} {count}" for name, count in group.counts.wire().items())
        console.print(f"{escape(group.name)}: {told}", soft_wrap=True, highlight=False)
    if stats.open_questions:
        console.print(f"{stats.open_questions} open questions to the user: `dibs answer` lists them.")
    if moved_to:
        console.print(f"[yellow]This is as it was when the project moved to {escape(moved_to)}.[/]", soft_wrap=True)
    if backup_of:
        console.print(f"[yellow]This is a backup of {escape(backup_of)}.[/]", soft_wrap=True)
    console.print(f"[dim]{escape(stats.database)}[/]", highlight=False, soft_wrap=True)


def say_page(page: Page) -> None:
    """A list, and how to go on with it."""
    _rows(page.features)
    more = f"; go on with --cursor {page.next_cursor}" if page.next_cursor else ""
    click.echo(f"{len(page.features)} of {page.total}{more}")


def _summaries(answer: Summaries) -> None:
    _rows(answer.features)
    if answer.missing:
        click.echo(f"There is no feature {', '.join(map(str, answer.missing))}.")


def _rows(rows: list[FeatureRow]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="dim")
    for heading in ("id", "status", "category", "name", "held by", "waits for"):
        table.add_column(heading, justify="right" if heading == "id" else "left")
    for row in rows:
        waits = ", ".join(map(str, row.blocked_by)) or row.wire().get("ready_at", "")
        if row.held_by is not None:
            waits = f"files of {row.held_by}"
        texts = (row.category, row.name, row.agent or "", waits)
        table.add_row(str(row.id), f"[{STYLES[row.status]}]{row.status}[/]", *map(escape, texts))
    width = None if sys.stdout.isatty() else UNFOLDED  # who reads a pipe wants a line for each
    Console(width=width).print(table)
    for row in rows:
        if row.description is not None:
            steps = "".join(f"\n  {number}. {step}" for number, step in enumerate(row.steps, 1))
            click.echo(f"{row.id} {row.name}\n{row.description}{steps}")


def say_feature(feature: Feature, history: History | None = None) -> None:
    """Everything that is known of a feature."""
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
    if feature.next_cursor:
        console.print(f"[dim]`dibs get {feature.id} --cursor {feature.next_cursor}` shows the rest.[/]")
    if history is not None and history.events:
        console.print("[dim]history, newest first[/]")
        say_history(history)


def say_history(history: History) -> None:
    """A line for each event."""
    for event in history.wire().get("events", []):
        move = f"{event['kind']} {event.get('from_status', '')} -> {event.get('to_status', '')}".strip(" ->")
        click.echo(f"  {event['at']} {event['agent']} {move} {_plain(event.get('detail', ''))}".rstrip())
    if history.next_cursor:
        click.echo(f"{len(history.events)} of {history.total}; go on with --cursor {history.next_cursor}")


def _claimed(answer: Claimed) -> None:
    lease = answer.wire()["claim"]
    _work(answer.feature)
    click.echo(f"token: {lease['token']}   yours until {lease['expires_at']}; `dibs heartbeat` makes it longer")


def _work(work: Work) -> None:
    click.echo(f"{work.id} {work.name}   [{work.category}]")
    click.echo(work.description)
    for number, step in enumerate(work.steps, 1):
        click.echo(f"  {number}. {step}")
    if work.next_cursor:
        click.echo(f"`dibs get {work.id} --cursor {work.next_cursor}` shows the rest.")
    told = work.wire()
    for name in ("dependencies", "failures", "notes"):
        for one in told.get(name, []):
            click.echo(f"{name}: {_plain(one)}")
    if work.earlier_evidence is not None:
        click.echo(f"passed earlier with: {work.earlier_evidence}")
    if work.human_answer is not None:
        click.echo(f"answered: {_plain(told['human_answer'])}")


def _idle(answer: Idle) -> None:
    counts = ", ".join(f"{name} {count}" for name, count in answer.counts.wire().items())
    click.echo(f"{answer.state}: {answer.message}" + (f" ({counts})" if counts else ""))


def _acknowledgement(answer: Acknowledgement) -> None:
    told = answer.wire()
    more = told.pop("unblocked_count", 0) - len(answer.unblocked)
    if more > 0:
        told["unblocked"] = [*answer.unblocked, f"{more:,} more"]
    told = {name: one for name, one in told.items() if name not in ("id", "status")}
    words = "".join(f"; {name}" if one is True else f"; {name}: {_plain(one)}" for name, one in told.items())
    click.echo(f"Feature {answer.id} is {answer.status}{words}.")


def _created(answer: Created) -> None:
    click.echo(f"{answer.count} added: {', '.join(map(str, answer.ids))}")


def _testing(answer: Testing) -> None:
    for work in answer.features:
        _work(work)
        click.echo(f"`dibs pass {work.id}` if it still works, `dibs fail {work.id} REASON` if not.")
    if answer.message:
        click.echo(answer.message)


def _asked(answer: Asked) -> None:
    click.echo(f"Question {answer.question_id} is {answer.state}.")
    if answer.answers:
        click.echo(f"{_plain(answer.answers)} ({answer.answered_by})")
    if answer.message:
        click.echo(answer.message)


def _graph(answer: Graph) -> None:
    if answer.mermaid is not None:
        click.echo(answer.mermaid)
    for node in answer.nodes:
        needs = f" <- {', '.join(map(str, node.depends_on))}" if node.depends_on else ""
        click.echo(f"{node.id} {node.name} ({node.status}){needs}")
    if answer.cut:
        click.echo(f"# {len(answer.nodes)} of {answer.total}" if answer.nodes else f"# of {answer.total}")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_plain(one)}" for name, one in value.items())
    if isinstance(value, list):
        return "; ".join(_plain(one) for one in value)
    return str(value)
