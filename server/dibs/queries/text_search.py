"""Search in descriptions, steps and notes. They have no index: the search reads and folds them, a batch at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, select

from dibs.database.transaction import Row, Transaction
from dibs.queries.feature_rows import COLUMNS, Waits
from dibs.queries.handover import NOTED
from dibs.queries.search import Detail, having, invalid_cursor, page_of, texts_of
from dibs.rules.conditions import F, among, in_project
from dibs_schema.answers import Page
from dibs_schema.folding import fold
from dibs_schema.tables import events

SCANNED = 100_000
"""The features that one call looks at, which takes about a second. The cursor continues with the next ones."""
BATCH = 1_000

_E = events.c

_texts = (
    select(F.id, F.search_text, F.description, F.steps).where(in_project(), F.id > bindparam("after")).order_by(F.id)
)
_notes = select(_E.feature_id, _E.detail).where(
    in_project(events), _E.feature_id.in_(bindparam("ids", expanding=True)), among(_E.kind, NOTED)
)
_rows = select(*COLUMNS).where(in_project(), F.id.in_(bindparam("ids", expanding=True))).order_by(F.id)


def search_everywhere(
    tx: Transaction,
    text: str,
    *,
    status: str | None = None,
    category: str | None = None,
    agent: str | None = None,
    detail: Detail = "brief",
    limit: int = 20,
    cursor: str | None = None,
) -> Page:
    """Return features with `text` in a name, category, reference, description, step or note, in the order of their ids.

    In a backlog of more than SCANNED features, a page may be short, and `total` counts up to where its cursor continues.
    Raises InvalidInput if the cursor is invalid.
    """
    after, counted = _place_in(cursor)
    found = _scan(tx, fold(text), having(status, category, agent), after, limit + 1)
    rows = tx.all(_rows, ids=found.ids)
    places = {feature: f"{feature}.{counted + number}" for number, feature in enumerate(found.ids, 1)}
    total, texts = counted + found.count, texts_of(tx, rows, detail)
    page = page_of(tx, rows, limit, total, lambda row: places[row["id"]], Waits.of(tx, rows), texts)
    if page.next_cursor is not None or found.stopped_at is None:
        return page
    return page.model_copy(update={"next_cursor": f"{found.stopped_at}.{page.total}"})


def _place_in(cursor: str | None) -> tuple[int, int]:
    """Return the feature after which a page begins, and the number of matching features up to it."""
    place = re.fullmatch(r"(\d{1,10})\.(\d{1,10})", cursor or "0.0")
    if place is None:
        raise invalid_cursor()
    return int(place[1]), int(place[2])


@dataclass(frozen=True, slots=True)
class _Found:
    """The first matching features, the number of all matches, and where the scan stopped early."""

    ids: list[int]
    count: int
    stopped_at: int | None


def _scan(tx: Transaction, text: str, conditions: Sequence[ColumnElement[bool]], after: int, most: int) -> _Found:
    ids: list[int] = []
    count = looked = 0
    statement = _texts.where(*conditions).limit(BATCH)
    while rows := tx.all(statement, after=after):
        found = sorted(_with_text(tx, rows, text))
        ids += found[: most - len(ids)]
        count += len(found)
        looked += len(rows)
        after = rows[-1]["id"]
        if looked >= SCANNED:
            return _Found(ids, count, after)
    return _Found(ids, count, None)


def _with_text(tx: Transaction, rows: Sequence[Row], text: str) -> Iterator[int]:
    others = []
    for row in rows:
        if _is_in(text, row):
            yield row["id"]
        else:
            others.append(row["id"])
    notes = tx.all(_notes, ids=others) if others else ()
    yield from {one["feature_id"] for one in notes if text in fold(one["detail"]["note"])}


def _is_in(text: str, row: Mapping[Any, Any]) -> bool:
    return text in row["search_text"] or text in fold("\0".join((row["description"], *row["steps"])))
