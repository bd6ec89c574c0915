"""Lists of features: by text, ready, or blocked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, Select, and_, bindparam, func, literal, or_, select, tuple_

from dibs.database.transaction import Row, Transaction
from dibs.queries.feature_rows import COLUMNS, Waits, room_in, row_of
from dibs.queries.open_questions import count_open, first_open_questions
from dibs.queries.ready_reasons import ORDERS, count_waiting, reason
from dibs.rules.conditions import F, in_project, is_, queue_order, ready
from dibs.rules.file_areas import files_are_claimed, held_back
from dibs.rules.truncate import cut_text, json_bytes, truncate_json
from dibs_schema.answers import FeatureRow, Page
from dibs_schema.folding import fold
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status
from dibs_schema.tables import features

ROOM = 9_000
"""Bytes of rows in one answer."""
TEXT = 2_000
"""Characters of a feature's own text in a full row; `feature_get_by_id` has the rest."""

REQUEST = 900
"""Bytes for the question to a person in a full row."""
QUESTIONS = 10
"""The open questions of `ask_user` in one answer; others are counted."""

Detail = Literal["brief", "full"]
Extend = Callable[[FeatureRow, Mapping[Any, Any]], FeatureRow]
"""Adds to a row what only one list shows."""


def _with_reason(row: FeatureRow, why: str, paths: list[str]) -> FeatureRow:
    """Return a row with its reason, and with as many whole paths as have room in it."""
    row = row.model_copy(update={"why": why})
    room = room_in(row, {"paths": [], "more_paths": 99})
    sizes = accumulate(json_bytes(path) + 1 for path in paths)
    shown = sum(size <= room for size in sizes)
    return row.model_copy(update={"paths": paths[:shown], "more_paths": len(paths) - shown})


_texts = select(F.id, F.status, F.description, F.steps, F.paths, F.human_request).where(
    in_project(), F.id.in_(bindparam("ids", expanding=True))
)


def _with_text(row: FeatureRow, text: Mapping[Any, Any]) -> FeatureRow:
    description, steps, rest = cut_text(text["description"], text["steps"], None, TEXT)
    texts = {"description": description, "steps": steps, "text_cursor": rest, "paths": text["paths"] or []}
    if text["status"] == Status.NEEDS_HUMAN:
        texts["human_request"] = truncate_json(text["human_request"], REQUEST)
    return row.model_copy(update=texts)


def search(
    tx: Transaction,
    *,
    text: str | None = None,
    status: str | None = None,
    category: str | None = None,
    agent: str | None = None,
    detail: Detail = "brief",
    limit: int = 20,
    cursor: str | None = None,
) -> Page:
    """Return features whose name, category or reference contains `text`, in the order of their ids.

    With `detail="full"` rows include the features' texts, and a page has fewer rows.
    Raises InvalidInput if the cursor is invalid.
    """
    conditions = having(status, category, agent)
    if text is not None:
        conditions.append(F.id.in_(matching(text)))
    rows = tx.all(select(*COLUMNS).where(*conditions, F.id > _number(cursor)).order_by(F.id).limit(limit + 1))
    total = tx.value(select(func.count()).select_from(features).where(*conditions))
    return page_of(tx, rows, limit, total, lambda row: str(row["id"]), Waits.of(tx, rows), texts_of(tx, rows, detail))


def having(status: str | None, category: str | None, agent: str | None) -> list[ColumnElement[bool]]:
    """Return the conditions of a search, without the text."""
    wanted = ((F.status, status), (F.category, category))
    conditions = [in_project(), *(column == value for column, value in wanted if value is not None)]
    if agent is not None:
        conditions.append(or_(F.claimed_by == agent, F.passed_by == agent))
    return conditions


def texts_of(tx: Transaction, rows: Sequence[Row], detail: Detail) -> Extend | None:
    """Return the function that adds the features' texts to the rows, if the detail is full."""
    ids = [row["id"] for row in rows] if detail == "full" else []
    texts = {one["id"]: one for one in tx.all(_texts, ids=ids)} if ids else {}
    return (lambda one, row: _with_text(one, texts[row["id"]])) if texts else None


def matching(text: str) -> Select[int]:
    """Return the query for the ids of the features with the text; on SQLite it reads one index and no other row."""
    here = features.alias("searched")
    return select(here.c.id).where(in_project(here), here.c.search_text.contains(fold(text), autoescape=True))


def get_ready(tx: Transaction, limit: int = 10, cursor: str | None = None) -> Page:
    """Return the features that can be claimed now, in the order of the queue, and why each stands there.

    Raises InvalidInput if the cursor is invalid.
    """
    claim_order = tx.project.settings.order
    conditions = [in_project(), ready(), ~files_are_claimed()]
    statement = (
        select(*COLUMNS, F.place, F.paths).where(*conditions).order_by(*queue_order(claim_order)).limit(limit + 1)
    )
    if cursor is not None:
        statement = statement.where(_after_in_queue(claim_order, cursor))
    total = tx.value(select(func.count()).select_from(features).where(*conditions))
    rows = tx.all(statement)
    waiting = count_waiting(tx, [row["id"] for row in rows])
    extend: Extend = lambda one, row: _with_reason(one, reason(row, waiting.get(one.id, 0)), row["paths"] or [])  # noqa: E731
    page = page_of(tx, rows, limit, total, _queue_place, extend=extend)
    return page.model_copy(update={"order": ORDERS[claim_order]})


def _queue_place(row: Mapping[Any, Any]) -> str:
    return ".".join(str(row[name] or 0) for name in ("skips", "height", "priority", "place", "id"))


def _after_in_queue(claim_order: str, cursor: str) -> ColumnElement[bool]:
    if not re.fullmatch(r"\d{1,9}\.\d{1,9}\.-?\d{1,10}\.-?\d{1,18}\.\d{1,10}", cursor):
        raise invalid_cursor()
    skips, height, priority, place, id_ = map(int, cursor.split("."))
    behind = tuple_(F.priority, F.place, F.id) > tuple_(literal(priority), literal(place, BigInteger), literal(id_))
    if claim_order == "critical_path":
        behind = or_(F.height < height, and_(F.height == height, behind))
    return or_(F.skips > skips, and_(F.skips == skips, behind))


def get_blocked(tx: Transaction, limit: int = 20, cursor: str | None = None) -> Page:
    """Return features that nobody can claim: unmet dependencies, back-off, files in use, open question, or stuck.

    The first page also has the open questions of `ask_user`.

    Raises InvalidInput if the cursor is invalid.
    """
    waiting = is_(Status.PENDING) & ((F.unmet_dependencies > 0) | ~ready() | held_back())
    conditions = [in_project(), or_(waiting, is_(Status.NEEDS_HUMAN), is_(Status.STUCK))]
    rows = tx.all(select(*COLUMNS).where(*conditions, F.id > _number(cursor)).order_by(F.id).limit(limit + 1))
    total = tx.value(select(func.count()).select_from(features).where(*conditions))
    page = page_of(tx, rows, limit, total, lambda row: str(row["id"]), Waits.of(tx, rows))
    if cursor is not None:
        return page
    questions = first_open_questions(tx, QUESTIONS)
    return page.model_copy(update={"questions": questions, "more_questions": count_open(tx) - len(questions)})


def page_of(
    tx: Transaction,
    rows: Any,
    limit: int,
    total: int,
    place: Callable[[Mapping[Any, Any]], str],
    waits: Waits | None = None,
    extend: Extend | None = None,
) -> Page:
    """Return as many rows as `limit` and the size of an answer allow, and the cursor after the last row."""
    shown: list[FeatureRow] = []
    room = ROOM
    for row in rows[:limit]:
        one = row_of(row, tx.now) if waits is None else waits.row_of(row, tx.now)
        if extend is not None:
            one = extend(one, row)
        room -= json_bytes(one.wire()) + 1
        if room < 0 and shown:
            break
        shown.append(one)
    more = len(rows) > len(shown)
    return Page(features=shown, total=total, next_cursor=place(rows[len(shown) - 1]) if more else None)


def _number(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isdecimal() or len(cursor) > 10:
        raise invalid_cursor()
    return int(cursor)


def invalid_cursor() -> InvalidInput:
    """Return the refusal of a cursor that no answer contained."""
    return InvalidInput("cursor: send next_cursor as it came in the last answer.", field="cursor")
