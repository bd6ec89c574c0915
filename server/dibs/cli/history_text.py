"""Prints the history of a feature: each attempt with its events, and what happened between attempts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from dibs.cli.escaped_text import one_line, values_on_one_line
from dibs.relative_time import Reader, span
from dibs_schema import answers


def print_history(history: answers.History, reader: Reader | None = None) -> None:
    """Print a line for each attempt, followed by its events, and a line for each event between two attempts."""
    reader = reader or Reader.present()
    for part in history.parts:
        if part.attempt is not None:
            click.echo(f"  {_attempt(part.attempt, reader)}")
        for event in part.events:
            transition = " -> ".join(filter(None, (event.from_status, event.to_status)))
            detail = values_on_one_line({name: _read(name, one, reader) for name, one in (event.detail or {}).items()})
            indent = "  " if part.attempt is None else "    "
            what = f"{one_line(event.agent)} {event.kind} {transition} {detail}"
            click.echo(f"{indent}{reader.both(event.at)} {what}".rstrip())
    if history.next_cursor:
        click.echo(f"{len(history.events)} of {history.total}; continue with --cursor {history.next_cursor}")


def _read(name: str, value: Any, reader: Reader) -> Any:
    """Return a value of an event's detail for a person: `ready_at` becomes a time."""
    return reader.both(datetime.fromisoformat(value)) if name == "ready_at" else value


def _attempt(attempt: answers.Attempt, reader: Reader) -> str:
    texts = {"reason": attempt.reason, "evidence": attempt.evidence}
    rest = "".join(f"; {name}: {one_line(text)}" for name, text in texts.items() if text)
    lasted = span(((attempt.ended_at or reader.now) - attempt.claimed_at).total_seconds())
    more = " (other events are on another page)" if attempt.partial else ""
    outcome = f"{attempt.outcome or 'ended'} after" if attempt.ended_at else "in progress for"
    return f"attempt of {one_line(attempt.agent)}, {reader.both(attempt.claimed_at)}: {outcome} {lasted}{rest}{more}"
