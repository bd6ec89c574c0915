"""Follow the events: each event once, in an order that all followers share."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING

import anyio
from sqlalchemy import BigInteger, bindparam, select, tuple_

from dibs.database.transaction import Row, Transaction
from dibs.queries.history import event_of
from dibs.rules.conditions import in_project
from dibs.rules.truncate import json_bytes
from dibs_schema.answers import EventPage, FollowedEvent
from dibs_schema.refusals import InvalidInput
from dibs_schema.tables import events

if TYPE_CHECKING:
    from dibs.database import Database

_E = events.c
_CURSOR = re.compile(r"(\d{1,19})-(\d{1,19})")

BEGINNING = "0-0"
"""The cursor before the first event."""
PAGE, ROOM = 100, 9_000
"""The most events of one page, and their most bytes."""
POLL, LOOK_ANYWAY = 0.1, 1.0
"""Seconds between two checks for changes, and after which events are read without a change."""

# A transaction that is still open may commit events with smaller numbers than existing ones.
# Only events below the horizon are complete.
complete = in_project(events) & (_E.xact < bindparam("horizon", type_=BigInteger))
later = tuple_(_E.xact, _E.id) > tuple_(bindparam("xact", type_=BigInteger), bindparam("last", type_=BigInteger))
"""After the cursor whose numbers are the parameters `xact` and `last`."""
_after = select(events).where(complete, later).order_by(_E.xact, _E.id).limit(bindparam("most"))
_latest = select(events).where(complete).order_by(_E.xact.desc(), _E.id.desc()).limit(bindparam("most"))
_newest = select(_E.xact, _E.id).where(complete).order_by(_E.xact.desc(), _E.id.desc()).limit(1)


def follow(tx: Transaction, cursor: str, limit: int = 100) -> list[FollowedEvent]:
    """Return at most `limit` events after `cursor`, which is `BEGINNING` or the cursor of an event.

    No event is ever missed, although transactions may commit in another order than they number their events: an event
    appears when no older transaction is open. Events of concurrent transactions on one feature may appear in either
    order; their ids give the true one. Cursors are not valid in a copy of the project.
    Raises InvalidInput if the cursor is invalid.
    """
    xact, last = parse_cursor(cursor)
    return [_followed(row) for row in tx.all(_after, xact=xact, last=last, most=limit)]


def page(tx: Transaction, cursor: str | None = None) -> EventPage:
    """Return the events after `cursor`, or else the newest, as many as fit in one answer, oldest first.

    Raises InvalidInput if the cursor is invalid.
    """
    if cursor is None:
        shown = _fitting([_followed(row) for row in tx.all(_latest, most=PAGE)])[::-1]
    else:
        shown = _fitting(follow(tx, cursor, PAGE))
    return EventPage(events=shown, after=shown[-1].cursor if shown else cursor or BEGINNING)


def _fitting(found: list[FollowedEvent]) -> list[FollowedEvent]:
    room = ROOM
    for count, event in enumerate(found):
        room -= json_bytes(event.wire()) + 1
        if room < 0 and count:
            return found[:count]
    return found


def newest(tx: Transaction) -> str:
    """Return the cursor after the newest event."""
    row = tx.first(_newest)
    return BEGINNING if row is None else cursor_of(row)


def parse_cursor(cursor: str) -> tuple[int, int]:
    """Return the transaction number and the event id in a cursor, which order events. Raises InvalidInput."""
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidInput("cursor: send that of an event, as it came; 0-0 is the beginning.", field="cursor")
    xact, last = (min(int(part), 2**63 - 1) for part in match.groups())
    return xact, last


def _followed(row: Row) -> FollowedEvent:
    return FollowedEvent(id=row["id"], cursor=cursor_of(row), feature=row["feature_id"], **dict(event_of(row)))


def cursor_of(row: Row) -> str:
    """Return the cursor after an event."""
    return f"{row['xact']}-{row['id']}"


async def watch(database: Database, cursor: str | None = None) -> AsyncGenerator[list[FollowedEvent], None]:
    """Yield the events after `cursor` (None: after the newest) as processes commit them, without end.

    Each check yields what it found, which may be an empty list. Raises InvalidInput as `follow` does.
    """
    place = cursor if cursor is not None else await database.read(newest)
    last_version, last_read = -1, 0.0
    while True:
        version = await database.work_version()
        if version != last_version or time.monotonic() - last_read > LOOK_ANYWAY:
            last_version, last_read = version, time.monotonic()
            while found := await database.read(partial(follow, cursor=place)):
                place = found[-1].cursor
                yield found
            yield []
        await anyio.sleep(POLL)
