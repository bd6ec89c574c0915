"""Prints the overview for people: what needs a person first, then who works on what, then counts and rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
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

CHOSEN = {"chosen": True}
"""The meta of the style of a chosen entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a part, and the claim or the question to a person that it shows, if any.

    The first text of the line identifies an entry with `about`.
    """

    line: Line
    about: LiveClaim | PendingQuestion | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A list of the overview, and the number of further entries that it leaves out."""

    heading: str
    style: str
    entries: list[Entry]
    left_out: int

    def matching(self, text: str) -> Part:
        """Return the part with the entries that contain a text."""
        found = [entry for entry in self.entries if any(contains(one, text) for one in entry.line)]
        return replace(self, entries=found, left_out=0 if text else self.left_out)


def contains(line: str, text: str) -> bool:
    """Return whether a line contains a text, ignoring case."""
    return text.casefold() in line.casefold()


def overview_parts(overview: Overview, now: datetime) -> list[Part]:
    """Return the lists of the overview as of `now`."""
    expired = (
        Entry((str(one.id), one_line(one.name), one_line(one.agent), ago(one.at, now))) for one in overview.expired
    )
    left_out = overview.more_questions + overview.more_stuck + overview.more_unconfirmed
    return [
        Part("needs you", "magenta", list(_needs_a_person(overview, now)), left_out),
        Part("at work", "yellow", [Entry(_claim(one, now), one) for one in overview.claims], overview.more_claims),
        Part("claims that expired in the last hour", "red", list(expired), overview.more_expired),
    ]


def overview_text(
    overview: Overview,
    now: datetime | None = None,
    notes: tuple[str, ...] = (),
    parts: list[Part] | None = None,
    chosen: Entry | None = None,
) -> Group:
    """Return the overview as of `now`, or of its own moment. `notes` are lines about the whole database.

    `parts` replaces the lists of the overview. The `chosen` entry of them is highlighted, in a style with the meta CHOSEN.
    """
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    now = now or overview.at
    shown: list[Text | ProgressBar | Table] = [
        Text(one_line(overview.project), "bold")
        + Text(f" {overview.percent_passing:g} % passing, {counted(overview.total, 'feature')}", "not bold"),
        ProgressBar(total=100, completed=overview.percent_passing, width=50),
        Text(""),  # ends the line of the bar
    ]
    for part in overview_parts(overview, now) if parts is None else parts:
        if part.entries:
            shown += [Text(""), Text(part.heading, "dim"), _table(part, chosen)]
            shown += [Text(f"  and {part.left_out:,} more")] if part.left_out else []
    shown += [Text(""), _counts(overview, now), *(Text(line) for line in _rate(overview, now))]
    shown += [Text(one_line(note), "yellow") for note in notes]
    return Group(*shown, Text(one_line(overview.database), "dim"))


def _table(part: Part, chosen: Entry | None) -> Table:
    from rich.style import Style
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    first, *rest = part.entries[0].line
    table.add_column(justify="right" if first.isdecimal() else "left", no_wrap=True)
    for _ in rest:
        table.add_column()
    for entry in part.entries:
        first, *rest = entry.line
        highlight = Style(reverse=True, meta=CHOSEN) if entry is chosen else None
        table.add_row(Text(first, part.style), *map(Text, rest), style=highlight)
    return table


def _needs_a_person(overview: Overview, now: datetime) -> Iterator[Entry]:
    for question in overview.questions:
        yield Entry(_question(question, now), question)
    for stuck in overview.stuck:
        last = f". {one_line(stuck.last_failure)}" if stuck.last_failure else ""
        yield Entry(
            (
                f"dibs show {stuck.id}",
                f"stuck for {_since(stuck.since, now)}",
                f"{one_line(stuck.name)}: {one_line(stuck.reason)}{last}",
            )
        )
    for one in overview.unconfirmed:
        by = f" by {one_line(one.passed_by)}" if one.passed_by else ""
        yield Entry(
            (
                f"dibs show {one.id}",
                f"passed {ago(one.since, now)}",
                f"{one_line(one.name)}: passed{by}, to be confirmed by another agent",
            )
        )


def _question(one: PendingQuestion, now: datetime) -> Line:
    asked = f"{one_line(one.asked_by or 'somebody')}: {one_line(one.prompt)}"
    if one.id is not None:
        return f"dibs answer {one.id}", f"asked {ago(one.asked_at, now)}", f"{one_line(one.name or '')}; {asked}"
    waiting = [*map(str, one.features), *([f"{one.more_features} more"] if one.more_features else [])]
    rest = f" ({', '.join(waiting)} {'wait' if len(waiting) > 1 else 'waits'} for it)" if waiting else ""
    return f"dibs answer --question {one.question_id}", f"asked {ago(one.asked_at, now)}", asked + rest


def _claim(one: LiveClaim, now: datetime) -> Line:
    known = one.client is None or one.agent.startswith(one.client)
    agent = one_line(one.agent if known else f"{one.agent} ({one.client})")
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
