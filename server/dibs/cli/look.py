"""`dibs list`, `show` and `follow`: look at a backlog and its events."""

from __future__ import annotations

from contextlib import ExitStack, closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from dibs.cli.escaped_text import one_line
from dibs.cli.options import PLACE, backlog, backlog_command, print_json
from dibs.cli.terminal_text import print_feature, print_page
from dibs.relative_time import Reader
from dibs.settings import Settings
from dibs_schema.inputs import GREATEST_ID
from dibs_schema.status import Status

if TYPE_CHECKING:
    from dibs.cli.notices import Notices
    from dibs.database import Database
    from dibs_schema.answers import FollowedEvent

UTC_TIMES = click.option("--utc", is_flag=True, help="Show times in UTC instead of the local time zone.")


@click.command("list")
@click.option("--text", help="Only features with this text in name, category or reference.")
@click.option("--status", type=click.Choice([str(one) for one in Status]), help="Only features of this status.")
@click.option("--category", help="Only features of this category.")
@click.option("--agent", help="Only features that this agent holds or has passed.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="List at most this many.")
@click.option("--cursor", help="Continue after the last list: its next cursor.")
@UTC_TIMES
@backlog_command
def list_features(*, as_json: bool, utc: bool, **given: Any) -> None:
    """List features."""
    from dibs.queries.search import search

    flags = {name: given.pop(name) for name in PLACE}
    with backlog(flags, read_only=True) as database:
        page = database.read_now(lambda tx: search(tx, **given))
    if as_json:
        print_json(page.wire())
    else:
        print_page(page, Reader.present(utc=utc))


@click.command()
@click.argument("feature_id", type=click.IntRange(1, GREATEST_ID))
@UTC_TIMES
@backlog_command
def show(feature_id: int, *, as_json: bool, utc: bool, **flags: Any) -> None:
    """Show all fields and the history of a feature."""
    from dibs.queries.get import get_by_id
    from dibs.queries.history import get_history
    from dibs.root_folder import current_folder
    from dibs.session.stale_evidence import judged

    with backlog(flags, read_only=True) as database:
        feature, history = database.read_now(lambda tx: (get_by_id(tx, feature_id), get_history(tx, feature_id)))
    feature = judged(feature, current_folder())
    if as_json:
        print_json(feature.wire() | {"history": history.wire()["parts"]})
    else:
        print_feature(feature, history, Reader.present(utc=utc))


@click.command()
@click.option("--after", "cursor", help="Begin after this cursor; 0-0 is the beginning of the event log.")
@click.option("--until-complete", is_flag=True, help="End when nothing is left to do.")
@click.option(
    "--on",
    "topics",
    metavar="TOPIC,…",
    help="Only these: ask (a question to a person), stuck, lost (a lease ran out), complete (nothing is left to do).",
)
@click.option(
    "--run",
    "command",
    metavar="COMMAND",
    help="Run a shell command for each event: as JSON on its standard input, and in DIBS_EVENT_…",
)
@backlog_command
def follow(
    *,
    cursor: str | None,
    until_complete: bool,
    topics: str | None,
    command: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Print events as they happen, until Ctrl-C. With --json, each line is one event with its cursor.

    With --run, the next start continues where this one stopped, so that no event is missed.
    """
    with backlog(flags) as database, ExitStack() as stack, suppress(KeyboardInterrupt):
        notices = None
        if topics is not None or command is not None:
            from dibs.cli.notices import Notices, parse_topics

            notices = stack.enter_context(
                closing(Notices(database, parse_topics(topics), command, Settings.read(flags)))
            )
        anyio.run(partial(_follow, database, cursor, notices, until_complete=until_complete, as_json=as_json))


async def _follow(
    database: Database, cursor: str | None, notices: Notices | None, *, until_complete: bool, as_json: bool
) -> None:
    from dibs.queries.follow import watch
    from dibs.queries.queue_state import why_idle

    if notices is not None:
        cursor = await notices.begin(cursor)
    async for events in watch(database, cursor):
        if notices is None:
            for event in events:
                _print_event(event, as_json=as_json)
        else:
            async for topic, event in notices.deliver(events):
                _print_event(event, topic, as_json=as_json)
        if until_complete and not events and (await database.read(why_idle)).state == "complete":
            return


def _print_event(event: FollowedEvent, topic: str | None = None, *, as_json: bool) -> None:
    if as_json:
        print_json(event.wire() | ({} if topic is None else {"on": topic}))
        return
    at = event.at.astimezone().strftime("%H:%M:%S")  # in the local time zone
    first = f"{at}  " if topic is None else f"{at}  {topic:<8}  "
    click.echo(first + event_line(event))


def event_line(event: FollowedEvent) -> str:
    """Return an event as one line, without its time."""
    detail = event.detail or {}
    text = detail.get("reason") or detail.get("note") or ""
    if "dependency" in detail:
        text = f"dependency {detail['dependency']}"
    transition = f"{event.from_status or ''} -> {event.to_status}" if event.to_status else ""
    feature = "" if event.feature is None else f"#{event.feature}"
    agent, shown = one_line(event.agent), one_line(text)[:100]
    return f"{feature:>6}  {event.kind:<10} {agent:<20} {transition:<26} {shown}".rstrip()
