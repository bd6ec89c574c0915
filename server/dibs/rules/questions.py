"""Open questions that features wait for: which they are, and what becomes of the features when one is closed.

A feature counts each of them in `unmet_dependencies`, so that the guards of a claim and a pass need no other condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Integer, bindparam, distinct, func, insert, select, update

from dibs.database.compiled import hot
from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import F, in_project, is_, of_feature
from dibs.rules.events import record_all
from dibs_schema.status import Kind, Status
from dibs_schema.tables import features, questions, waits

_Q, _W = questions.c, waits.c

IS_OPEN = _Q.answered_at.is_(None)
_its_question = (_Q.project_id == _W.project_id) & (_Q.id == _W.question_id)

_open_of = hot(
    select(_Q.id, _Q.asked_by, _Q.questions)
    .join(waits, _its_question)
    .where(of_feature(waits), in_project(questions), IS_OPEN)
    .order_by(_Q.id)
)
_open_of_each = (
    select(_W.feature_id, _Q.id, _Q.questions)
    .join(questions, _its_question)
    .where(in_project(waits), _W.feature_id.in_(bindparam("ids", expanding=True)), IS_OPEN)
    .order_by(_Q.id)
)
_answered_of = hot(
    select(_Q.id, _Q.questions, _Q.answers, _Q.answered_by)
    .join(waits, _its_question)
    .where(of_feature(waits), in_project(questions), _Q.answers.is_not(None))
    .order_by(_Q.answered_at.desc(), _Q.id.desc())
)
_waiting = in_project(waits) & (_W.question_id == bindparam("question"))
_features_of = select(_W.feature_id).where(_waiting).order_by(_W.feature_id)
_new = select(F.project_id, bindparam("question", type_=Integer), F.id).where(
    in_project(), F.id.in_(bindparam("ids", expanding=True)), F.id.not_in(_features_of.order_by(None))
)
_wait = insert(waits).from_select(["project_id", "question_id", "feature_id"], _new).returning(_W.feature_id)
_hold_up = (
    update(features)
    .where(in_project(), F.id.in_(bindparam("ids", expanding=True)))
    .values({F.unmet_dependencies: F.unmet_dependencies + 1, F.updated_at: bindparam("now")})
    .returning(F.id, F.status)
)
_free = (
    update(features)
    .where(in_project(), F.id.in_(_features_of.order_by(None)))
    .values({F.unmet_dependencies: F.unmet_dependencies - 1, F.updated_at: bindparam("now")})
    .returning(F.id, F.status)
)

_held_up = hot(
    select(func.count(distinct(F.id)))
    .join(waits, (_W.project_id == F.project_id) & (_W.feature_id == F.id))
    .join(questions, _its_question)
    .where(in_project(questions), IS_OPEN, is_(Status.PENDING))
)
_held_up_there = _held_up.where(F.category == bindparam("category_"))


def is_open() -> ColumnElement[bool]:
    """SQL condition: the question bound to `question` is open."""
    return select(_Q.id).where(in_project(questions), _Q.id == bindparam("question"), IS_OPEN).exists()


def words(asked: Sequence[dict[str, Any]]) -> str:
    """Return the text of a question, or of several asked at once."""
    return " ".join(one["question"] for one in asked)


def open_questions_of(tx: Transaction, feature: int) -> Sequence[Row]:
    """Return each open question that a feature waits for."""
    return tx.all(_open_of, feature=feature)


def waited_for_by(tx: Transaction, features_: Sequence[int]) -> dict[int, Row]:
    """Return the first open question that each of these features waits for, if it does."""
    rows = tx.all(_open_of_each, ids=list(features_))
    return {row["feature_id"]: row for row in reversed(rows)}


def answers_of(tx: Transaction, feature: int) -> Sequence[Row]:
    """Return the questions that a feature waited for and a person answered, the latest answer first."""
    return tx.all(_answered_of, feature=feature)


def features_of(tx: Transaction, question: int) -> list[int]:
    """Return the features that wait for the answer to a question, or did so until it was closed."""
    return [row["feature_id"] for row in tx.all(_features_of, question=question)]


def count_held_up(tx: Transaction, category: str | None = None) -> int:
    """Return how many pending features (of `category`) wait for an open question."""
    return int(tx.value(_held_up) if category is None else tx.value(_held_up_there, category_=category))


def hold_up(tx: Transaction, question: int, wanted: Sequence[int]) -> Sequence[Row]:
    """Let existing features wait for an open question, and return the rows of those that did not yet do so."""
    new = [row["feature_id"] for row in tx.all(_wait, question=question, ids=list(wanted))]
    return tx.all(_hold_up, ids=new) if new else []


def free(tx: Transaction, by: str, question: int) -> list[int]:
    """Free the features that waited for a question that was just closed, and return them."""
    rows = tx.all(_free, question=question)
    record_waits(tx, by, Kind.MET, question, rows)
    return sorted(row["id"] for row in rows)


def record_waits(tx: Transaction, by: str, kind: Kind, question: int, rows: Sequence[Row]) -> None:
    """Write an event for each feature that waits for a question from now on, or no longer, in the order of their ids."""
    detail = {"question": question}
    moved = sorted((row["id"], row["status"]) for row in rows)
    events = [
        {"feature_id": one, "from_status": status, "to_status": status, "detail": detail} for one, status in moved
    ]
    record_all(tx, by, kind, events)
