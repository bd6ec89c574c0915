"""`dibs follow`: prints the events of a project."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from dibs.cli.options import backlog, backlog_command, print_json

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs_schema.answers import FollowedEvent


@click.command()
@click.option("--after", "cursor", help="Begin after this cursor; 0-0 is the beginning of the event log.")
@click.option("--until-complete", is_flag=True, help="End when nothing is left to do.")
@backlog_command
def follow(*, cursor: str | None, until_complete: bool, as_json: bool, **flags: Any) -> None:
    """Print events as they happen, until Ctrl-C. With --json, each line is one event with its cursor."""
    with backlog(flags) as database, suppress(KeyboardInterrupt):
        anyio.run(partial(_follow, database, cursor, until_complete=until_complete, as_json=as_json))


async def _follow(database: Database, cursor: str | None, *, until_complete: bool, as_json: bool) -> None:
    from dibs.queries.follow import watch
    from dibs.queries.queue_state import why_idle

    async for events in watch(database, cursor):
        for event in events:
            _print(event, as_json=as_json)
        if until_complete and not events and (await database.read(why_idle)).state == "complete":
            return


def _print(event: FollowedEvent, *, as_json: bool) -> None:
    if as_json:
        print_json(event.wire())
        return
    text = (event.detail or {}).get("reason") or (event.detail or {}).get("note") or ""
    transition = f"{event.from_status or ''} -> {event.to_status}" if event.to_status else ""
    at = time.strftime("%H:%M:%S", time.localtime(event.at))
    feature = "" if event.feature is None else f"#{event.feature}"
    click.echo(f"{at}  {feature:>6}  {event.kind:<10} {event.agent:<20} {transition:<26} {str(text)[:100]}".rstrip())
