"""The project's events for people: the newest first, with the names of their features, and filtered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, bindparam, or_, select, tuple_

from dibs.database.transaction import Row, Transaction
from dibs.queries.follow import complete, cursor_of, parse_cursor
from dibs.queries.history import event_of
from dibs.rules.truncate import truncate
from dibs_schema.answers import HistoryEvent
from dibs_schema.tables import events, features

LOOKED_AT = 20_000
"""The events that one call with a filter looks at: only features have an index. The cursor continues with older ones."""
LONGEST_NAME = 120
"""Bytes."""

_E = events.c
_place = tuple_(_E.xact, _E.id)
_before = _place < tuple_(bindparam("xact", type_=BigInteger), bindparam("last", type_=BigInteger))
_newest_first = (_E.xact.desc(), _E.id.desc())


@dataclass(frozen=True, slots=True)
class ListedEvent:
    """An event, and the name of the feature that it is about, if it is about one."""

    id: int
    feature: int | None
    name: str | None
    event: HistoryEvent


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Selects events: of some kinds, by an agent or about its claims, and about a feature."""

    kinds: Sequence[str] = ()
    agent: str | None = None
    feature: int | None = None


def list_events(
    tx: Transaction, most: int, wanted: EventFilter, before: str | None = None
) -> tuple[list[ListedEvent], str | None]:
    """Return at most `most` events before a cursor, the newest first, and the cursor for older ones if there may be some.

    Raises InvalidInput if the cursor is invalid.
    """
    place: dict[str, Any] = {}
    looked_at: Select[Any] = select(events).where(complete).order_by(*_newest_first)
    if before is not None:
        place = dict(zip(("xact", "last"), parse_cursor(before), strict=True))
        looked_at = looked_at.where(_before)
    if wanted.feature is not None:
        looked_at = looked_at.where(_E.feature_id == wanted.feature)
    filtered = bool(wanted.kinds or wanted.agent)
    window = looked_at.limit(LOOKED_AT if filtered else most + 1).subquery()
    conditions: list[ColumnElement[bool]] = [window.c.kind.in_(wanted.kinds)] if wanted.kinds else []
    if wanted.agent is not None:
        conditions.append(or_(window.c.agent == wanted.agent, window.c.detail["holder"].as_string() == wanted.agent))
    found = tx.all(
        select(window, features.c.name)
        .outerjoin(features, (features.c.project_id == window.c.project_id) & (features.c.id == window.c.feature_id))
        .where(*conditions)
        .order_by(window.c.xact.desc(), window.c.id.desc())
        .limit(most + 1),
        **place,
    )
    shown = [_listed(row) for row in found[:most]]
    if len(found) > most:
        return shown, cursor_of(found[most - 1])
    return shown, _end_of(tx, looked_at, place) if filtered else None


def _end_of(tx: Transaction, looked_at: Select[Any], place: dict[str, Any]) -> str | None:
    """Return the cursor after the last event that a filter looked at, or None if those were all."""
    row = tx.first(looked_at.with_only_columns(_E.xact, _E.id).offset(LOOKED_AT - 1).limit(1), **place)
    return None if row is None else cursor_of(row)


def _listed(row: Row) -> ListedEvent:
    return ListedEvent(row["id"], row["feature_id"], truncate(row["name"], LONGEST_NAME), event_of(row))
