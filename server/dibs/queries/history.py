"""The events of a feature, grouped by attempt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import BigInteger, bindparam, func, select

from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import literal_text, of_feature
from dibs.rules.diagnosis import find
from dibs.rules.truncate import json_bytes, truncate, truncate_json
from dibs_schema.answers import Attempt, History, HistoryEvent, HistoryPart, iso
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import OUTCOMES, Status
from dibs_schema.tables import events

_E = events.c
ROOM, HEAD = 8_500, 300
"""Bytes of events in one answer, and bytes of an attempt without its events."""

_claimed = literal_text(Status.IN_PROGRESS)
_begins = (_E.from_status != _claimed) & (_E.to_status == _claimed)
_ends = (_E.from_status == _claimed) & (_E.to_status != _claimed)

_rows = select(events, _begins.label("begins"), _ends.label("ends")).where(of_feature(events))
_events = _rows.where(_E.id < bindparam("before", type_=BigInteger)).order_by(_E.id.desc()).limit(bindparam("most"))
_claim = _rows.where(_E.id < bindparam("oldest", type_=BigInteger), _begins).order_by(_E.id.desc()).limit(1)
_end = _rows.where(_E.id > bindparam("newest", type_=BigInteger), _ends).order_by(_E.id).limit(1)
_count = select(func.count()).select_from(events).where(of_feature(events))


def get_history(tx: Transaction, feature: int, limit: int = 20, cursor: str | None = None) -> History:
    """Return a feature's events by attempt, newest first, `limit` or as many as fit.

    An attempt that spans two pages is on both, with the same beginning and end. Raises NotFound, and InvalidInput if
    the cursor is invalid.
    """
    find(tx, feature)
    if cursor is not None and not (cursor.isdecimal() and len(cursor) <= 18):
        raise InvalidInput("cursor: send next_cursor as it came in the last answer.", field="cursor")
    before = int(cursor) if cursor is not None else 2**62
    rows = tx.all(_events, feature=feature, before=before, most=limit + 1)
    shown = rows[: _fitting(rows[:limit])]
    return History(
        parts=[_part(tx, feature, part, continued=cursor is not None) for part in _by_attempt(shown)],
        total=tx.value(_count, feature=feature),
        next_cursor=str(shown[-1]["id"]) if len(rows) > len(shown) else None,
    )


def _fitting(rows: Iterable[Row]) -> int:
    """Return how many of the events fit in an answer; at least the first does."""
    room, count = ROOM, 0
    for row in rows:
        room -= json_bytes(event_of(row).wire()) + 1 + HEAD * bool(row["ends"])
        if room < 0 and count:
            break
        count += 1
    return count


def _by_attempt(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the events of each attempt, and those between two attempts, newest first."""
    part: list[Row] = []
    for row in rows:
        if part and (row["ends"] or part[-1]["begins"]):
            yield part
            part = []
        part.append(row)
    if part:
        yield part


def _part(tx: Transaction, feature: int, rows: list[Row], *, continued: bool) -> HistoryPart:
    """Return the events of an attempt, or between two. If `continued`, an earlier page may have newer ones."""
    shown = [event_of(row) for row in rows]
    if not any(Status.IN_PROGRESS in (row["from_status"], row["to_status"]) for row in rows):
        return HistoryPart(events=shown)
    newest, oldest = rows[0], rows[-1]
    claim = oldest if oldest["begins"] else tx.first(_claim, feature=feature, oldest=oldest["id"])
    end = newest if newest["ends"] else tx.first(_end, feature=feature, newest=newest["id"])
    ending: dict[str, Any] = {}
    if end is not None:
        last = shown[0] if end is newest else event_of(end)
        detail = last.detail or {}
        ending = {"ended_at": end["at"], "outcome": OUTCOMES.get(end["kind"])}
        ending |= {name: detail.pop(name, None) for name in ("reason", "evidence")}
        last.detail = detail or None
    attempt = Attempt(
        agent=truncate((claim or oldest)["agent"], 100) or "",
        claimed_at=(claim or oldest)["at"],
        partial=claim is not oldest or (continued and end is not newest),
        **ending,
    )
    return HistoryPart(attempt=attempt, events=shown)


def event_of(row: Row) -> HistoryEvent:
    """Return an event for an answer. It has no `to_status` if the status did not change."""
    return HistoryEvent(
        at=row["at"],
        agent=truncate(row["agent"], 100) or "",
        kind=row["kind"],
        from_status=row["from_status"],
        to_status=row["to_status"] if row["to_status"] != row["from_status"] else None,
        detail=truncate_json(_shown(row["detail"] or {}), 500) or None,
        token_name=row["token_name"],
    )


def _shown(detail: dict[str, Any]) -> dict[str, Any]:
    """Return the details without empty lists, and with times as answers send them. A stuck feature has no `ready_at`."""
    stuck = detail.get("status") == Status.STUCK
    return {
        name: iso(value) if name.endswith("_at") and isinstance(value, float) else value
        for name, value in detail.items()
        if value != [] and not (stuck and name == "ready_at")
    }
