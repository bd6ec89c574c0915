"""Offers to add three lines about the backlog to agents' instruction files (AGENTS.md, CLAUDE.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from dibs.registration.nudge import TEXT, Nudge


def tell_agents(told: Sequence[Nudge], root: Path, *, asks: bool, dry_run: bool, as_json: bool) -> None:
    """Add the lines about the backlog to the instruction files, or remove them. `asks` asks first."""
    names = " and ".join(one.file.relative_to(root.resolve()).as_posix() for one in told)
    removes = len(told[0].after) < len(told[0].before or "")
    if asks:
        click.echo(f"Three lines can tell agents of the backlog:\n{TEXT}")
        if not click.confirm(f"Add them to {names}?", default=False):
            return
    for one in [] if dry_run else told:
        one.write()
    done = "removed from" if removes else "written to"
    would = "would be" if dry_run else "were"
    click.echo(f"The lines about the backlog {would} {done} {names}.", err=as_json)
