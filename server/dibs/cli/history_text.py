"""Prints the history of a feature: each attempt with its events, and what happened between attempts."""

from __future__ import annotations

import click

from dibs.cli.escaped_text import one_line, values_on_one_line
from dibs_schema import answers


def print_history(history: answers.History) -> None:
    """Print a line for each attempt, followed by its events, and a line for each event between two attempts."""
    for part in history.parts:
        if part.attempt is not None:
            click.echo(f"  {_attempt(part.attempt)}")
        for event in part.wire()["events"]:
            transition = " -> ".join(event[name] for name in ("from_status", "to_status") if name in event)
            agent, detail = one_line(event["agent"]), values_on_one_line(event.get("detail", ""))
            indent = "  " if part.attempt is None else "    "
            click.echo(f"{indent}{event['at']} {agent} {event['kind']} {transition} {detail}".rstrip())
    if history.next_cursor:
        click.echo(f"{len(history.events)} of {history.total}; continue with --cursor {history.next_cursor}")


def _attempt(attempt: answers.Attempt) -> str:
    times = attempt.wire()
    texts = {"reason": attempt.reason, "evidence": attempt.evidence}
    rest = "".join(f"; {name}: {one_line(text)}" for name, text in texts.items() if text)
    span = f"{times['claimed_at']} to {times.get('ended_at', 'now')}"
    more = " (other events are on another page)" if attempt.partial else ""
    return f"attempt of {one_line(attempt.agent)}, {span}: {attempt.outcome or 'in progress'}{rest}{more}"
