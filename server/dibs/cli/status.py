"""`dibs status`: shows once, or live, what needs a person, who works on what, and how fast the project goes."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import click

from dibs.cli.options import backlog, backlog_command, flush, print_json
from dibs.cli.overview_text import overview_text
from dibs.cli.terminal_text import can_draw, console

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs.database.transaction import Transaction
    from dibs_schema.answers import Overview

T = TypeVar("T")
Read = tuple["Overview", dict[str, str]]
"""An overview, and the labels of a project that has moved or is a backup."""

POLL, READ_AGAIN, READ_ANYWAY = 0.25, 0.5, 5.0
"""Seconds between two checks for changes; between two reads; and after which it is read without a change: leases run out."""
SHOWN, ROOM = 50, 1 << 20
"""The most entries of each list, and their most bytes: a terminal has more room than an answer to a tool."""
NOTES = {
    "moved_to": "The project has moved to {}. This is its state before.",
    "backup_of": "This is a backup of {}.",
}


@click.command()
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C. Without a terminal, print each change.")
@backlog_command
def status(*, watch: bool, as_json: bool, **flags: Any) -> None:
    """Show what needs a person, who works on what, and the progress."""
    with backlog(flags, read_only=True) as database:
        if not watch:
            _print(database.read_now(partial(read_overview, label=database.label)), as_json=as_json)
            return
        with suppress(KeyboardInterrupt):
            anyio.run(partial(_watch, database, as_json=as_json))


def read_overview(tx: Transaction, label: str) -> Read:
    """Return the overview with as many entries as a terminal has room for, and the labels of the project."""
    from dibs.database.project_row import freeze_labels
    from dibs.queries.overview import get_overview

    return get_overview(tx, label, SHOWN, ROOM), freeze_labels(tx.project.moved_to)


def notes_of(labels: dict[str, str]) -> tuple[str, ...]:
    """Return notes about the whole database that a person must know."""
    return tuple(NOTES[name].format(label) for name, label in labels.items())


def _print(found: Read, *, as_json: bool) -> None:
    overview, labels = found
    if as_json:
        print_json(overview.wire() | labels)
    else:  # the reader of a pipe needs one line for each entry
        out = console(None if sys.stdout.isatty() else 10_000)
        out.print(overview_text(overview, notes=notes_of(labels)), soft_wrap=False)


async def _watch(database: Database, *, as_json: bool) -> None:
    if as_json or not can_draw():
        await _print_changes(database, as_json=as_json)
    else:
        await _redraw(database)


async def moments(database: Database, read: Callable[[Transaction], T]) -> AsyncIterator[tuple[T, float]]:
    """Yield what `read` returns and its age in seconds, several times a second. It is read again after a change."""
    version, read_at = -1, -READ_ANYWAY
    while True:
        seen, age = await database.event_version(), time.monotonic() - read_at
        if (seen != version and age >= READ_AGAIN) or age >= READ_ANYWAY:
            version, read_at = seen, time.monotonic()
            found = await database.read(read)
        yield found, time.monotonic() - read_at
        await anyio.sleep(POLL)


async def _print_changes(database: Database, *, as_json: bool) -> None:
    """Print the overview, and again whenever more than its times has changed."""
    printed: dict[str, Any] | None = None
    async for found, _ in moments(database, partial(read_overview, label=database.label)):
        if (facts := _facts(found[0])) != printed:
            printed = facts
            _print(found, as_json=as_json)
            flush()


def _facts(overview: Overview) -> dict[str, Any]:
    """Return the facts of the overview that do not change with time alone."""
    of_claims = {"last_sign_at", "last_call_at", "lease_seconds"}
    passing = dict.fromkeys(("at", "estimate", "passed_last_hour", "passed_last_day", "counted_since"), True)
    return overview.model_dump(exclude={**passing, "claims": {"__all__": of_claims}})


async def _redraw(database: Database) -> None:
    """Draw the overview on the whole screen, and again whenever its text changes."""
    from rich.live import Live

    paper, drawn = console(), ""
    with Live(console=console(), screen=True, auto_refresh=False) as live:
        async for (overview, labels), age in moments(database, partial(read_overview, label=database.label)):
            shown = overview_text(overview, overview.at + timedelta(seconds=age), notes_of(labels))
            with paper.capture() as captured:
                paper.print(shown, soft_wrap=False)
            if captured.get() != drawn:
                drawn = captured.get()
                live.update(shown, refresh=True)
