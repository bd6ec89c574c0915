"""Prints the overview for people: what needs a person first, then who works on what, then counts and rate."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from dibs.cli.escaped_text import counted, one_line
from dibs.cli.terminal_text import PARTS, STYLES
from dibs.relative_time import ago, span
from dibs_schema.answers import LiveClaim, Overview, PendingQuestion

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

Line = tuple[str, ...]


def overview_text(overview: Overview, now: datetime | None = None, notes: tuple[str, ...] = ()) -> Group:
    """Return the overview as of `now`, or of its own moment. `notes` are lines about the whole database."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    now = now or overview.at
    parts = {
        "needs you": _table(_needs_a_person(overview, now), "magenta"),
        "at work": _table((_claim(one, now) for one in overview.claims), "yellow"),
        "claims that expired in the last hour": _table(
            ((str(one.id), one_line(one.name), one_line(one.agent), ago(one.at, now)) for one in overview.expired),
            "red",
        ),
    }
    left_out = {"at work": overview.more_claims, "claims that expired in the last hour": overview.more_expired}
    left_out["needs you"] = overview.more_questions + overview.more_stuck + overview.more_unconfirmed
    shown: list[Text | ProgressBar | Table] = [
        Text(one_line(overview.project), "bold")
        + Text(f" {overview.percent_passing:g} % passing, {counted(overview.total, 'feature')}", "not bold"),
        ProgressBar(total=100, completed=overview.percent_passing, width=50),
        Text(""),  # ends the line of the bar
    ]
    for heading, table in parts.items():
        if table.row_count:
            shown += [Text(""), Text(heading, "dim"), table]
            shown += [Text(f"  and {left_out[heading]:,} more")] if left_out[heading] else []
    shown += [Text(""), _counts(overview, now), *(Text(line) for line in _rate(overview, now))]
    shown += [Text(one_line(note), "yellow") for note in notes]
    return Group(*shown, Text(one_line(overview.database), "dim"))


def _table(lines: Iterator[Line], style: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    for number, line in enumerate(lines):
        if number == 0:
            for place in range(len(line)):
                table.add_column(justify="right" if place == 0 and line[0].isdecimal() else "left", no_wrap=place == 0)
        first, *rest = line
        table.add_row(Text(first, style), *map(Text, rest))
    return table


def _needs_a_person(overview: Overview, now: datetime) -> Iterator[Line]:
    for question in overview.questions:
        yield _question(question, now)
    for stuck in overview.stuck:
        last = f". {one_line(stuck.last_failure)}" if stuck.last_failure else ""
        yield (
            f"dibs show {stuck.id}",
            f"stuck for {_since(stuck.since, now)}",
            f"{one_line(stuck.name)}: {one_line(stuck.reason)}{last}",
        )
    for one in overview.unconfirmed:
        by = f" by {one_line(one.passed_by)}" if one.passed_by else ""
        yield (
            f"dibs show {one.id}",
            f"passed {ago(one.since, now)}",
            f"{one_line(one.name)}: passed{by}, to be confirmed by another agent",
        )


def _question(one: PendingQuestion, now: datetime) -> Line:
    asked = f"{one_line(one.asked_by or 'somebody')}: {one_line(one.prompt)}"
    if one.id is not None:
        return f"dibs answer {one.id}", f"asked {ago(one.asked_at, now)}", f"{one_line(one.name or '')}; {asked}"
    waiting = [*map(str, one.features), *([f"{one.more_features} more"] if one.more_features else [])]
    rest = f" ({', '.join(waiting)} {'wait' if len(waiting) > 1 else 'waits'} for it)" if waiting else ""
    return f"dibs answer --question {one.question_id}", f"asked {ago(one.asked_at, now)}", asked + rest


def _claim(one: LiveClaim, now: datetime) -> Line:
    agent = one_line(one.agent)
    held, sign = f"held {_since(one.claimed_at, now)}", f"last sign {ago(one.last_sign_at, now)}"
    return str(one.id), one_line(one.name), agent, f"{held}, {sign}", "" if one.renewed else _lease(one)


def _lease(one: LiveClaim) -> str:
    return f"not renewed, {span(one.lease_seconds)} left" if one.lease_seconds else "its lease has expired"


def _since(at: datetime, now: datetime) -> str:
    return span((now - at).total_seconds())


def _counts(overview: Overview, now: datetime) -> Table:
    from rich.table import Table
    from rich.text import Text

    oldest = {str(one.state): one for one in overview.oldest}
    counts = overview.counts.model_dump()
    table = Table.grid(padding=(0, 2))
    for name, style in STYLES.items():
        if counts[name]:
            one = oldest.get(name) or (oldest.get("waiting") if name == "pending" else None)
            waits = "one has waited" if name == "pending" else "the oldest"
            since = f"{waits} for {_since(one.since, now)}: {one.id}" if one is not None else ""
            table.add_row(Text(name, style), f"{counts[name]:,}{PARTS.get(name, '')}", since)
    return table


def _rate(overview: Overview, now: datetime) -> Iterator[str]:
    if overview.passed_last_day:
        since = f" (counted for {_since(overview.counted_since, now)})" if overview.counted_since is not None else ""
        yield f"{overview.passed_last_hour:,} passed in the last hour, {overview.passed_last_day:,} in the last day{since}"
    if overview.estimate is not None:
        yield f"done {ago(overview.estimate.ends_at, now)}, if {overview.estimate.assumes}"
