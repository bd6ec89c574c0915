"""The events of a feature."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, bindparam, func, select

from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import of_feature
from dibs.rules.diagnosis import find
from dibs.rules.truncate import json_bytes, truncate, truncate_json
from dibs_schema.answers import History, HistoryEvent, iso
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status
from dibs_schema.tables import events

_E = events.c
ROOM = 9_000
"""Bytes of events in one answer."""

_events = (
    select(events)
    .where(of_feature(events), _E.id < bindparam("before", type_=BigInteger))
    .order_by(_E.id.desc())
    .limit(bindparam("most"))
)
_count = select(func.count()).select_from(events).where(of_feature(events))


def get_history(tx: Transaction, feature: int, limit: int = 20, cursor: str | None = None) -> History:
    """Return a feature's events, newest first. Raises NotFound, and InvalidInput if the cursor is invalid."""
    find(tx, feature)
    if cursor is not None and not (cursor.isdecimal() and len(cursor) <= 18):
        raise InvalidInput("cursor: send next_cursor as it came in the last answer.", field="cursor")
    before = int(cursor) if cursor is not None else 2**62
    rows = tx.all(_events, feature=feature, before=before, most=limit + 1)
    shown: list[HistoryEvent] = []
    room = ROOM
    for row in rows[:limit]:
        one = event_of(row)
        room -= json_bytes(one.wire()) + 1
        if room < 0 and shown:
            break
        shown.append(one)
    following = str(rows[len(shown) - 1]["id"]) if len(rows) > len(shown) else None
    return History(events=shown, total=tx.value(_count, feature=feature), next_cursor=following)


def event_of(row: Row) -> HistoryEvent:
    """Return an event for an answer. It has no `to_status` if the status did not change."""
    return HistoryEvent(
        at=row["at"],
        agent=truncate(row["agent"], 100) or "",
        kind=row["kind"],
        from_status=row["from_status"],
        to_status=row["to_status"] if row["to_status"] != row["from_status"] else None,
        detail=None if row["detail"] is None else truncate_json(_with_times(row["detail"]), 500),
    )


def _with_times(detail: dict[str, Any]) -> dict[str, Any]:
    """Return the details with times as answers send them. A stuck feature has no `ready_at`."""
    stuck = detail.get("status") == Status.STUCK
    return {
        name: iso(value) if name.endswith("_at") and isinstance(value, float) else value
        for name, value in detail.items()
        if not (stuck and name == "ready_at")
    }
