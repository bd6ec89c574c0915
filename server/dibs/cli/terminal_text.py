"""Prints answers as text for people at a terminal. Texts that agents wrote are escaped, and never markup."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from dibs_schema import answers

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
PARTS = {"ready": " (part of pending)", "unconfirmed": " (part of passing)"}
"""The counts that are part of another count."""


def print_text(answer: answers.Answer) -> None:
    """Print an answer of any kind."""
    printers: dict[type[answers.Answer], Callable[[Any], None]] = {
        answers.Acknowledgement: _acknowledgement,
        answers.Asked: _asked,
        answers.Claimed: _claimed,
        answers.Created: _created,
        answers.Feature: print_feature,
        answers.Graph: _graph,
        answers.History: print_history,
        answers.Idle: _idle,
        answers.Page: print_page,
        answers.Stats: print_stats,
        answers.Summaries: _summaries,
        answers.Testing: _testing,
    }
    printers[type(answer)](answer)


def print_stats(stats: answers.Stats, moved_to: str | None = None, backup_of: str | None = None) -> None:
    """Print the progress of the project."""
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
        f"[bold]{escape(stats.project)}[/] {stats.percent_passing:g} % passing, {stats.total} features", highlight=False
    )
    console.print(ProgressBar(total=100, completed=stats.percent_passing, width=50), "")
    console.print(table)
    for group in stats.groups:
        parts = ", ".join(f"{name} {count}" for name, count in group.counts.wire().items())
        console.print(f"{escape(group.name)}: {parts}", soft_wrap=True, highlight=False)
    if stats.open_questions:
        console.print(f"{stats.open_questions} open questions to the user: `dibs answer` lists them.")
    if moved_to:
        console.print(
            f"[yellow]The project has moved to {escape(moved_to)}. This is its state before.[/]", soft_wrap=True
        )
    if backup_of:
        console.print(f"[yellow]This is a backup of {escape(backup_of)}.[/]", soft_wrap=True)
    console.print(f"[dim]{escape(stats.database)}[/]", highlight=False, soft_wrap=True)


def print_page(page: answers.Page) -> None:
    """Print a page of a list, and the option for the next page."""
    _rows(page.features)
    more = f"; continue with --cursor {page.next_cursor}" if page.next_cursor else ""
    click.echo(f"{len(page.features)} of {page.total}{more}")


def _summaries(answer: answers.Summaries) -> None:
    _rows(answer.features)
    if answer.missing:
        click.echo(f"There is no feature {', '.join(map(str, answer.missing))}.")


def _rows(rows: list[answers.FeatureRow]) -> None:
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
    width = None if sys.stdout.isatty() else 10_000  # the reader of a pipe needs one line for each feature
    Console(width=width).print(table)
    for row in rows:
        if row.description is not None:
            steps = "".join(f"\n  {number}. {step}" for number, step in enumerate(row.steps, 1))
            click.echo(f"{row.id} {row.name}\n{row.description}{steps}")


def print_feature(feature: answers.Feature, history: answers.History | None = None) -> None:
    """Print all fields of a feature, and its history."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    colour = STYLES[feature.status]
    console.print(f"[bold]{feature.id} {escape(feature.name)}[/]  [{colour}]{feature.status}[/]")
    console.print(escape(feature.description or ""))
    for number, step in enumerate(feature.steps, 1):
        console.print(f"  {number}. {escape(step)}")
    for name, value in feature.wire().items():
        if name not in ("id", "name", "status", "description", "steps", "next_cursor"):
            console.print(f"[dim]{name}[/] {escape(_plain(value))}")
    if feature.next_cursor:
        console.print(f"[dim]`dibs get {feature.id} --cursor {feature.next_cursor}` shows the rest.[/]")
    if history is not None and history.events:
        console.print("[dim]history, newest first[/]")
        print_history(history)


def print_history(history: answers.History) -> None:
    """Print a line for each event."""
    for event in history.wire().get("events", []):
        transition = f"{event['kind']} {event.get('from_status', '')} -> {event.get('to_status', '')}".strip(" ->")
        click.echo(f"  {event['at']} {event['agent']} {transition} {_plain(event.get('detail', ''))}".rstrip())
    if history.next_cursor:
        click.echo(f"{len(history.events)} of {history.total}; continue with --cursor {history.next_cursor}")


def _claimed(answer: answers.Claimed) -> None:
    lease = answer.wire()["claim"]
    _work(answer.feature)
    click.echo(f"token: {lease['token']}   yours until {lease['expires_at']}; `dibs heartbeat` renews the lease")


def _work(work: answers.Work) -> None:
    click.echo(f"{work.id} {work.name}   [{work.category}]")
    click.echo(work.description)
    for number, step in enumerate(work.steps, 1):
        click.echo(f"  {number}. {step}")
    if work.next_cursor:
        click.echo(f"`dibs get {work.id} --cursor {work.next_cursor}` shows the rest.")
    values = work.wire()
    for name in ("dependencies", "failures", "notes"):
        for one in values.get(name, []):
            click.echo(f"{name}: {_plain(one)}")
    if work.earlier_evidence is not None:
        click.echo(f"passed earlier with: {work.earlier_evidence}")
    if work.human_answer is not None:
        click.echo(f"answered: {_plain(values['human_answer'])}")


def _idle(answer: answers.Idle) -> None:
    counts = ", ".join(f"{name} {count}" for name, count in answer.counts.wire().items())
    click.echo(f"{answer.state}: {answer.message}" + (f" ({counts})" if counts else ""))


def _acknowledgement(answer: answers.Acknowledgement) -> None:
    values = answer.wire()
    more = values.pop("unblocked_count", 0) - len(answer.unblocked)
    if more > 0:
        values["unblocked"] = [*answer.unblocked, f"{more:,} more"]
    shown = [(name, one) for name, one in values.items() if name not in ("id", "status")]
    rest = "".join(f"; {name}" if one is True else f"; {name}: {_plain(one)}" for name, one in shown)
    click.echo(f"Feature {answer.id} is {answer.status}{rest}.")


def _created(answer: answers.Created) -> None:
    click.echo(f"{answer.count} added: {', '.join(map(str, answer.ids))}")


def _testing(answer: answers.Testing) -> None:
    for work in answer.features:
        _work(work)
        click.echo(f"`dibs pass {work.id}` if it still works, `dibs fail {work.id} REASON` if not.")
    if answer.message:
        click.echo(answer.message)


def _asked(answer: answers.Asked) -> None:
    click.echo(f"Question {answer.question_id} is {answer.state}.")
    if answer.answers:
        click.echo(f"{_plain(answer.answers)} ({answer.answered_by})")
    if answer.message:
        click.echo(answer.message)


def _graph(answer: answers.Graph) -> None:
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
