"""Lists of features: by text, ready, or blocked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, func, literal, or_, select, tuple_

from dibs.database.transaction import Transaction
from dibs.queries.open_questions import count_open, first_open_questions
from dibs.queries.ready_reasons import ORDERS, count_waiting, reason
from dibs.rules.conditions import FARTHEST_BACK_OFF, F, among, in_project, is_, queue_order, ready
from dibs.rules.dependencies import SHOWN_BLOCKERS
from dibs.rules.file_areas import files_are_claimed, held_back, holders_of
from dibs.rules.questions import waited_for_by, words
from dibs.rules.truncate import cut_text, json_bytes, truncate, truncate_json
from dibs_schema.answers import FeatureRow, Page
from dibs_schema.folding import fold
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import SATISFIED, Status
from dibs_schema.tables import dependencies, features

COLUMNS = (F.id, F.status, F.category, F.name, F.priority, F.claimed_by, F.not_before, F.skips, F.height)
"""The short columns, which a row of a list needs."""
SHOWN_CATEGORY, SHOWN_AGENT = 23, 20
ROOM = 9_000
"""Bytes of rows in one answer."""
ROW = 160
"""Bytes of a row without its name."""
BACKS_OFF = "in back-off"
TEXT = 2_000
"""Characters of a feature's own text in a full row; `feature_get_by_id` has the rest."""

REQUEST = 900
"""Bytes of what a full row says that a person was asked."""
LEAST_ASKED = 14
"""Bytes of what a person was asked, in a row without more room."""
QUESTIONS = 10
"""The open questions of `ask_user` in one answer; others are counted."""

Detail = Literal["brief", "full"]
Extend = Callable[[FeatureRow, Mapping[Any, Any]], FeatureRow]
"""Adds to a row what only one list shows."""

_D = dependencies.c


def row_of(
    row: Mapping[Any, Any],
    now: float,
    blocked_by: list[int] | None = None,
    name: int = 2_000,
    holder: Mapping[Any, Any] | None = None,
) -> FeatureRow:
    """Return a row of at most 160 bytes and a name of at most `name` bytes; `holder` is a claim on the same files."""
    until = row["not_before"]
    backs_off = row["status"] == Status.PENDING and until is not None and now < until <= now + FARTHEST_BACK_OFF
    return FeatureRow(
        id=row["id"],
        status=row["status"],
        category=truncate(row["category"], SHOWN_CATEGORY) or "",
        name=truncate(row["name"], name) or "",
        priority=row["priority"],
        agent=truncate(holder["claimed_by"] if holder else row["claimed_by"], SHOWN_AGENT),
        held_by=holder["id"] if holder else None,
        ready_at=until if backs_off and not blocked_by else None,
        why=BACKS_OFF if backs_off and not blocked_by else None,
        blocked_by=(blocked_by or [])[:SHOWN_BLOCKERS],
        more_blocked_by=max(0, len(blocked_by or []) - SHOWN_BLOCKERS),
    )


def _with_reason(row: FeatureRow, why: str, paths: list[str]) -> FeatureRow:
    """Return a row with its reason, and with as many whole paths as have room in it."""
    row = row.model_copy(update={"why": why})
    room = _room_in(row, {"paths": [], "more_paths": 99})
    sizes = accumulate(json_bytes(path) + 1 for path in paths)
    shown = sum(size <= room for size in sizes)
    return row.model_copy(update={"paths": paths[:shown], "more_paths": len(paths) - shown})


def _room_in(row: FeatureRow, frame: Mapping[str, Any]) -> int:
    """Return how many bytes a row has left, without its name and the empty members of `frame`."""
    return ROW - (json_bytes(row.wire()) - json_bytes(row.name)) - json_bytes(frame)


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
    conditions: list[ColumnElement[bool]] = [in_project()]
    if text is not None:
        conditions.append(F.id.in_(matching(text)))
    for column, value in ((F.status, status), (F.category, category)):
        if value is not None:
            conditions.append(column == value)
    if agent is not None:
        conditions.append(or_(F.claimed_by == agent, F.passed_by == agent))
    rows = tx.all(select(*COLUMNS).where(*conditions, F.id > _number(cursor)).order_by(F.id).limit(limit + 1))
    total = tx.value(select(func.count()).select_from(features).where(*conditions))
    ids = [row["id"] for row in rows] if detail == "full" else []
    texts = {one["id"]: one for one in tx.all(_texts, ids=ids)} if ids else {}
    extend = (lambda one, row: _with_text(one, texts[row["id"]])) if texts else None
    return _page(tx, rows, limit, total, lambda row: str(row["id"]), extend=extend)


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
    statement = select(*COLUMNS, F.paths).where(*conditions).order_by(*queue_order(claim_order)).limit(limit + 1)
    if cursor is not None:
        statement = statement.where(_after_in_queue(claim_order, cursor))
    total = tx.value(select(func.count()).select_from(features).where(*conditions))
    rows = tx.all(statement)
    waiting = count_waiting(tx, [row["id"] for row in rows])
    extend: Extend = lambda one, row: _with_reason(one, reason(row, waiting.get(one.id, 0)), row["paths"] or [])  # noqa: E731
    return _page(tx, rows, limit, total, _queue_place, extend=extend).model_copy(update={"order": ORDERS[claim_order]})


def _queue_place(row: Mapping[Any, Any]) -> str:
    return ".".join(str(row[name] or 0) for name in ("skips", "height", "priority", "id"))


def _after_in_queue(claim_order: str, cursor: str) -> ColumnElement[bool]:
    if not re.fullmatch(r"\d{1,9}\.\d{1,9}\.-?\d{1,10}\.\d{1,10}", cursor):
        raise invalid_cursor()
    skips, height, priority, id_ = map(int, cursor.split("."))
    behind = tuple_(F.priority, F.id) > tuple_(literal(priority), literal(id_))
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
    asked = case((is_(Status.NEEDS_HUMAN), F.human_request))
    statement = select(*COLUMNS, ready().label("is_ready"), asked.label("asked"))
    rows = tx.all(statement.where(*conditions, F.id > _number(cursor)).order_by(F.id).limit(limit + 1))
    total = tx.value(select(func.count()).select_from(features).where(*conditions))
    ids = [row["id"] for row in rows]
    waits_for = waited_for_by(tx, ids)
    holders = holders_of(tx, [row["id"] for row in rows if row["is_ready"]])  # features that wait only for files
    extend: Extend = lambda one, row: _with_question(one, row["asked"], waits_for.get(one.id))  # noqa: E731
    page = _page(tx, rows, limit, total, lambda row: str(row["id"]), _blockers(tx, ids), holders, extend)
    if cursor is not None:
        return page
    questions = first_open_questions(tx, QUESTIONS)
    return page.model_copy(update={"questions": questions, "more_questions": count_open(tx) - len(questions)})


def _with_question(
    row: FeatureRow, request: Mapping[str, Any] | None, question: Mapping[Any, Any] | None
) -> FeatureRow:
    """Return a row with what its feature waits for a person to answer, if it does, and then with one dependency."""
    if question is not None:
        others = row.more_blocked_by + len(row.blocked_by[1:])
        row = row.model_copy(update={"blocked_by": row.blocked_by[:1], "more_blocked_by": others})
        asked = f"question {question['id']}: {words(question['questions'])}"
    elif request is not None:
        asked = request["prompt"]
    else:
        return row
    return row.model_copy(update={"why": truncate(asked, max(LEAST_ASKED, _room_in(row, {"why": ""})))})


_unmet_edges = (
    select(_D.feature_id, _D.dependency_id)
    .join(features, (F.project_id == _D.project_id) & (F.id == _D.dependency_id))
    .where(in_project(dependencies), _D.feature_id.in_(bindparam("ids", expanding=True)), ~among(F.status, SATISFIED))
    .order_by(_D.feature_id, _D.dependency_id)
)


def _blockers(tx: Transaction, ids: list[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for edge in tx.all(_unmet_edges, ids=ids):
        found.setdefault(edge["feature_id"], []).append(edge["dependency_id"])
    return found


def _page(
    tx: Transaction,
    rows: Any,
    limit: int,
    total: int,
    place: Callable[[Mapping[Any, Any]], str],
    blockers: Mapping[int, list[int]] | None = None,
    holders: Mapping[int, Mapping[Any, Any]] | None = None,
    extend: Extend | None = None,
) -> Page:
    """Return as many rows as `limit` and the size of an answer allow, and the cursor after the last row."""
    shown: list[FeatureRow] = []
    room = ROOM
    for row in rows[:limit]:
        one = row_of(row, tx.now, (blockers or {}).get(row["id"]), holder=(holders or {}).get(row["id"]))
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
