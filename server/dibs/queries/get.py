"""Read features by id."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, func, select

from dibs.database.transaction import Transaction
from dibs.queries.feature_rows import COLUMNS, Waits
from dibs.queries.handover import (
    LEAST_OWN_TEXT,
    NOTES_ROOM,
    dependencies_of,
    human_answer_of,
    notes_of,
    question_answers_of,
)
from dibs.queries.open_questions import SHOWN_QUESTIONS, waiting_questions
from dibs.rules.conditions import FARTHEST_BACK_OFF, F, in_project, this
from dibs.rules.diagnosis import find
from dibs.rules.feedback import times_returned
from dibs.rules.questions import open_questions_of
from dibs.rules.truncate import cut_text, json_length, truncate, truncate_json
from dibs.rules.usage import usage_of
from dibs.rules.verification import shown
from dibs_schema.answers import Feature, Summaries
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import SATISFIED, Status
from dibs_schema.tables import dependencies, features

_D = dependencies.c
DEPENDENTS = 20
FIRST_PAGE, TEXT_PAGE = 2_500, 7_000
"""Characters of a feature's own text on the first page, and on the pages after it."""
TOLD = 1_200
"""Bytes that the first page has besides for what the project tells its workers."""

LISTED = 9_500
"""Bytes of all rows of `summaries`; with many rows, names are truncated."""

_whole = select(features).where(this())
_own = select(F.category, F.name, F.priority, F.description, F.steps, F.paths, F.updated_at, F.claimed_at).where(this())
_depends_on_this = in_project(dependencies) & (_D.dependency_id == bindparam("feature"))
_dependents = select(_D.feature_id).where(_depends_on_this).order_by(_D.feature_id).limit(DEPENDENTS)
_dependents_count = select(func.count()).where(_depends_on_this)
_some = select(*COLUMNS).where(in_project(), F.id.in_(bindparam("ids", expanding=True))).order_by(F.id)


def own_texts(tx: Transaction, feature: int) -> dict[str, Any]:
    """Return the whole texts of a feature that exists, its priority, its paths, and its versions.

    Those are the exact times, in seconds since 1970, when it was last changed, and when its claim began, if it has one.
    """
    row = tx.first(_own, feature=feature)
    assert row is not None, "it was found in this transaction"
    return dict(row)


def get_by_id(tx: Transaction, feature: int, cursor: str | None = None) -> Feature:
    """Return a whole feature, or with `cursor` the rest of its text. Raises NotFound, InvalidInput."""
    find(tx, feature)
    row = tx.first(_whole, feature=feature)
    assert row is not None, "it was found in this transaction"
    head: dict[str, Any] = {name: row[name] for name in ("id", "status", "name", "category")}
    if cursor is not None:
        _check_cursor(cursor, row["steps"])
        description, steps, following = cut_text(row["description"], row["steps"], cursor, TEXT_PAGE)
        return Feature(**head, priority=row["priority"], description=description, steps=steps, next_cursor=following)
    paths = row["paths"] or []
    room = FIRST_PAGE - json_length(paths)
    told = _told_to_workers(tx, row, room + TOLD)
    if told:
        room = max(LEAST_OWN_TEXT, room - json_length(list(told.values())))
    description, steps, following = cut_text(row["description"], row["steps"], None, room)
    given, verification = shown(row["evidence"])
    notes, more_notes = notes_of(tx, feature, NOTES_ROOM)
    needed = dependencies_of(tx, feature, 2_000)
    return Feature(
        **head,
        **{name: truncate(row[name], 250) if isinstance(row[name], str) else row[name] for name in _PLAIN},
        description=description,
        steps=steps,
        next_cursor=following,
        **told,
        paths=paths,
        dependencies=needed,
        blocked_by=[one.id for one in needed if one.status not in SATISFIED][:DEPENDENTS],
        questions=waiting_questions(tx, open_questions_of(tx, feature)[:SHOWN_QUESTIONS]),
        dependents=[one["feature_id"] for one in tx.all(_dependents, feature=feature)],
        dependents_count=tx.value(_dependents_count, feature=feature),
        ready_at=ready_at(row, tx.now),
        expires_at=row["lease_expires_at"],
        last_failure=truncate(row["last_failure"], 300),
        times_returned=times_returned(tx, feature),
        evidence=None if given is None else truncate_json(given, 700),
        verification=verification,
        evidence_is_outdated=row["evidence"] is not None
        and Status.PASSING not in (row["status"], row["archived_from"]),
        usage=usage_of(tx, feature),
        human_request=truncate_json(row["human_request"], 900) if row["status"] == Status.NEEDS_HUMAN else None,
        human_answer=human_answer_of(row["human_answer"], 800),
        question_answers=question_answers_of(tx, feature, 800),
        notes=notes,
        more_notes=more_notes,
    )


def _told_to_workers(tx: Transaction, row: Any, room: int) -> dict[str, str]:
    """Return the definition of done for its category, and for a claimed feature the project's instructions, if any.

    They take at most about `room` bytes, but each has a minimum size. A claim returns more of them.
    """
    project = tx.project.settings
    done_when = truncate(project.done_when_of(row["category"]), 1_000) if project.done_when else None
    rest = max(LEAST_OWN_TEXT, room - LEAST_OWN_TEXT - json_length(done_when or ""))
    told = {
        "done_when": done_when,
        "instructions": truncate(project.instructions, rest) if row["status"] == Status.IN_PROGRESS else None,
    }
    return {name: text for name, text in told.items() if text}


_PLAIN = (
    "priority",
    "reference",
    "source",
    "archived_from",
    "unmet_dependencies",
    "attempts",
    "failures",
    "skips",
    "claimed_by",
    "claimed_at",
    "passed_by",
    "passed_at",
    "unconfirmed_since",
    "confirmed_by",
    "last_tested_at",
    "recheck_since",
    "created_by",
    "created_at",
    "updated_at",
)


def ready_at(row: Any, now: float) -> float | None:
    """Return when a feature's back-off ends, or None without a back-off."""
    until: float | None = row["not_before"] if row["status"] == Status.PENDING else None
    return until if until is not None and now < until <= now + FARTHEST_BACK_OFF else None


def _check_cursor(cursor: str, steps: list[str]) -> None:
    if not re.fullmatch(r"-?\d{1,4}:\d{1,6}", cursor) or not -1 <= int(cursor.split(":", maxsplit=1)[0]) < len(steps):
        raise InvalidInput("cursor: send next_cursor as it came in the last answer.", field="cursor")


def summaries(tx: Transaction, ids: Sequence[int]) -> Summaries:
    """Return one row for each feature, and the ids that do not exist."""
    found_rows = tx.all(_some, ids=list(ids))
    name = LISTED // max(1, len(found_rows)) - 165
    waits = Waits.of(tx, found_rows)
    rows = [waits.row_of(row, tx.now, name) for row in found_rows]
    found = {row.id for row in rows}
    return Summaries(features=rows, missing=[one for one in dict.fromkeys(ids) if one not in found])
