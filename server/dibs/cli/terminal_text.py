"""Prints answers as text for people at a terminal. Texts that agents wrote are never read as markup or emoji codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import compress
from typing import TYPE_CHECKING, Any

import click

from dibs.cli.escaped_text import counted, one_line, several_lines, values_on_one_line
from dibs.cli.history_text import print_history
from dibs.relative_time import Reader
from dibs_schema import answers

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {
    "ready": "green",
    "pending": "white",
    "in_progress": "yellow",
    "passing": "bright_green",
    "needs_human": "magenta",
    "stuck": "red",
    "archived": "bright_black",
    "to_answer": "magenta",
    "unconfirmed": "yellow",
    "to_recheck": "yellow",
}
PARTS = dict.fromkeys(("unconfirmed", "to_recheck"), " (part of passing)")
PARTS |= dict.fromkeys(("ready", "to_answer"), " (part of pending)")
"""The counts that are part of another count."""
DONE = {"already_claimed": "claimed already", "evidence": "evidence stored", "noted": "note stored"}
"""What an acknowledgement's members say that are true."""
TOLD = ("done_when", "instructions")


def print_text(answer: answers.Answer) -> None:
    """Print an answer of any kind."""
    printers: dict[type[answers.Answer], Callable[[Any], None]] = {
        answers.Acknowledgement: lambda answer: click.echo(acknowledgement_text(answer)),
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


def can_draw() -> bool:
    """Return whether standard output is a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM", "").lower() not in ("", "dumb", "unknown")


def console(width: int | None = None) -> Console:
    """Return a console that prints texts unchanged: without markup, emoji codes, highlights or line wrapping."""
    from rich.console import Console

    return Console(width=width, markup=False, emoji=False, highlight=False, soft_wrap=True)


def print_stats(stats: answers.Stats) -> None:
    """Print the progress of the project."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    counts = stats.counts.model_dump()
    for name, style in STYLES.items():
        if counts[name]:
            table.add_row(Text(name, style), str(counts[name]) + PARTS.get(name, ""))
    out = console()
    progress = f" {stats.percent_passing:g} % passing, {counted(stats.total, 'feature')}"
    out.print(Text(one_line(stats.project), "bold") + Text(progress))
    out.print(ProgressBar(total=100, completed=stats.percent_passing, width=50), "")
    out.print(table)
    for group in stats.groups:
        parts = ", ".join(f"{name} {count}" for name, count in group.counts.wire().items())
        out.print(f"{one_line(group.name)}: {parts}")
    if stats.open_questions:
        out.print(f"{counted(stats.open_questions, 'open question')} to the user: `dibs answer` shows what was asked.")
    out.print(one_line(stats.database), style="dim")


def print_page(page: answers.Page, reader: Reader | None = None) -> None:
    """Print a page of a list, and the option for the next page."""
    if page.features:
        _rows(page.features, reader)
        more = f"; continue with --cursor {page.next_cursor}" if page.next_cursor else ""
        click.echo(f"{len(page.features)} of {page.total}{more}")
    else:
        click.echo("No features." if not page.total else f"No more of {page.total} features.")
    for question in page.questions:
        click.echo(f"{_asked_of(question)}: {one_line(question.prompt)} (`dibs answer` shows it whole)")


def _summaries(answer: answers.Summaries) -> None:
    if answer.features:
        _rows(answer.features)
    if answer.missing:
        click.echo(f"There is no feature {', '.join(map(str, answer.missing))}.")


def _rows(rows: list[answers.FeatureRow], reader: Reader | None = None) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="dim")
    reader = reader or Reader.present()
    lines = [(row, [row.agent or "", _waits_for(row, reader), row.why or ""]) for row in rows]
    present = [any(texts[place] for _, texts in lines) for place in range(3)]
    for heading in ["id", "status", "category", "name", *compress(("held by", "waits for", "why"), present)]:
        table.add_column(heading, justify="right" if heading == "id" else "left")
    for row, more in lines:
        texts = (row.category, row.name, *compress(more, present))
        table.add_row(str(row.id), Text(row.status, STYLES[row.status]), *(Text(one_line(one)) for one in texts))
    # The reader of a pipe needs one line for each feature.
    console(None if sys.stdout.isatty() else 10_000).print(table, soft_wrap=False)
    for row in rows:
        if row.description is not None:
            click.echo(f"{row.id} {one_line(row.name)}\n{several_lines(row.description)}")
            _steps(row.steps)


def _waits_for(row: answers.FeatureRow, reader: Reader) -> str:
    if row.held_by is not None:
        return f"files of {row.held_by}"
    more = [f"{row.more_blocked_by} more"] if row.more_blocked_by else []
    end = reader.both(row.ready_at) if row.ready_at is not None else ""
    return ", ".join([*map(str, row.blocked_by), *more]) or end


def _steps(steps: list[str]) -> None:
    for number, step in enumerate(steps, 1):
        click.echo(f"  {number}. {several_lines(step)}")


def print_feature(
    feature: answers.Feature, history: answers.History | None = None, reader: Reader | None = None
) -> None:
    """Print all fields of a feature, and its history."""
    from rich.text import Text

    out = console()
    out.print(
        Text(f"{feature.id} {one_line(feature.name)}", "bold"), Text(f" {feature.status}", STYLES[feature.status])
    )
    click.echo(several_lines(feature.description or ""))
    _steps(feature.steps)
    reader = reader or Reader.present()
    for name, value in feature.wire().items():
        if name not in ("id", "name", "status", "description", "steps", "next_cursor"):
            out.print(Text(name, "dim"), Text(values_on_one_line(reader.read(getattr(feature, name), value))))
    if feature.next_cursor:
        out.print(f"`dibs get {feature.id} --cursor {feature.next_cursor}` shows the rest.", style="dim")
    if history is not None and history.events:
        out.print("history, newest first", style="dim")
        print_history(history, reader)


def _claimed(answer: answers.Claimed) -> None:
    lease = answer.wire()["claim"]
    _work(answer.feature)
    already = "claimed already; " if answer.already_claimed else ""
    renewal = f"`dibs heartbeat {answer.feature.id}` renews the lease"
    click.echo(f"token: {lease['token']}   {already}yours until {lease['expires_at']}; {renewal}")


def _work(work: answers.Work) -> None:
    click.echo(f"{work.id} {one_line(work.name)}   [{one_line(work.category)}]")
    click.echo(several_lines(work.description))
    _steps(work.steps)
    if work.next_cursor:
        click.echo(f"`dibs get {work.id} --cursor {work.next_cursor}` shows the rest.")
    values = work.wire()
    for name in ("done_when", "instructions", "dependencies", "failures", "notes"):
        for one in values.get(name, []) if name not in TOLD else filter(None, [values.get(name)]):
            click.echo(f"{name}: {several_lines(one) if name in TOLD else values_on_one_line(one)}")
    if work.feedback is not None:
        click.echo(f"not accepted: {values_on_one_line(values['feedback'])}")
    if work.recheck_since is not None:
        click.echo(f"awaits a recheck since {values['recheck_since']}: its dependencies have changed")
    if work.earlier_evidence is not None:
        click.echo(f"passed earlier with: {one_line(work.earlier_evidence)}")
    for one in [
        *([values["human_answer"]] if work.human_answer is not None else []),
        *values.get("question_answers", []),
    ]:
        click.echo(f"answered: {values_on_one_line(one)}")


def _idle(answer: answers.Idle) -> None:
    counts = ", ".join(f"{name} {count}" for name, count in answer.counts.wire().items())
    click.echo(f"{answer.state}: {one_line(answer.message)}" + (f" ({counts})" if counts else ""))
    for question in answer.questions:
        click.echo(f"  {_asked_of(question)}: {one_line(question.prompt)}")


def _asked_of(question: answers.WaitingQuestion) -> str:
    return str(question.id) if question.id is not None else f"question {question.question_id}"


def acknowledgement_text(answer: answers.Acknowledgement) -> str:
    """Return an acknowledgement as one line."""
    values = answer.wire()
    more = values.pop("unblocked_count", 0) - len(answer.unblocked)
    if answer.unblocked:
        ids = [str(one) for one in answer.unblocked] + [f"{more:,} more"] * (more > 0)
        values["unblocked"] = f"feature{'s' * (len(ids) > 1)} {', '.join(ids)}"
    shown = [(name, one) for name, one in values.items() if name not in ("id", "status", "hint")]
    rest = "".join(
        f"; {DONE.get(name, name)}" if one is True else f"; {name}: {values_on_one_line(one)}" for name, one in shown
    )
    return f"Feature {answer.id} is {answer.status}{rest}. {one_line(answer.hint or '')}".rstrip()


def _created(answer: answers.Created) -> None:
    counts = {"added": answer.count, "existed": answer.existing, "refused": len(answer.refused)}
    counted = ", ".join(f"{count} {what}" for what, count in counts.items() if count or what == "added")
    ids = ", ".join(str(one) for one in answer.ids if one)
    click.echo(f"{counted}: {ids}" if ids else counted)
    if answer.differing:
        click.echo(
            f"Existing features with another description or other steps: {', '.join(map(str, answer.differing))}"
        )
    for one in answer.refused:
        click.echo(f"refused: {one_line(one.reason)}")


def _testing(answer: answers.Testing) -> None:
    click.echo(several_lines(answer.instructions or ""), nl=bool(answer.instructions))
    for work in answer.features:
        _work(work)
        click.echo(f"`dibs pass {work.id}` if it still works, `dibs fail {work.id} REASON` if not.")
    if answer.message:
        click.echo(answer.message)


def _asked(answer: answers.Asked) -> None:
    click.echo(f"Question {answer.question_id} is {answer.state}.")
    for question in answer.questions:
        click.echo(f"{one_line(question['header'])}: {one_line(question['question'])}")
    if answer.feature_ids:
        click.echo(f"Features that wait for it: {', '.join(map(str, answer.feature_ids))}")
    if answer.answers:
        click.echo(f"{values_on_one_line(answer.answers)} ({one_line(answer.answered_by)})")
    if answer.message:
        click.echo(answer.message)


def _graph(answer: answers.Graph) -> None:
    if answer.mermaid is not None:
        click.echo(answer.mermaid)
    for node in answer.nodes:
        needs = f" <- {', '.join(map(str, node.depends_on))}" if node.depends_on else ""
        click.echo(f"{node.id} {one_line(node.name)} ({node.status}){needs}")
    if answer.cut:
        shown = f"# {len(answer.nodes)} of {answer.total}" if answer.nodes else f"# of {answer.total}"
        click.echo(f"{shown}; continue with --cursor {answer.next_cursor}")
