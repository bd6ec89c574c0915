"""Open questions to a person: those of `ask_user`, and requests about features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, func, select

from dibs.database.compiled import hot
from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import F, in_project, is_, resting
from dibs.rules.questions import IS_OPEN, features_of, words
from dibs.rules.truncate import truncate
from dibs_schema.answers import OpenQuestion, WaitingQuestion
from dibs_schema.status import Kind, Status
from dibs_schema.tables import events, features, questions, waits

SHOWN_QUESTIONS = 3
"""The questions in an answer about one feature, or about an idle queue."""
SHOWN_PROMPT, SHOWN_ASKER, SHOWN_FEATURES = 120, 30, 5
"""The bytes of a question's words and of its asker's name in a list, and the features that it names."""

_Q, _W = questions.c, waits.c
_questions = select(questions).where(in_project(questions), IS_OPEN).order_by(_Q.id)
_first = hot(_questions.limit(bindparam("most")))
_asked = select(_Q.questions).where(in_project(questions), _Q.id == bindparam("number"))
_count = hot(select(func.count()).select_from(questions).where(in_project(questions), IS_OPEN))
_held_up = (
    select(_W.question_id)
    .join(features, (F.project_id == _W.project_id) & (F.id == _W.feature_id))
    .where(in_project(waits), is_(Status.PENDING))
)
_holding_up = _questions.where(_Q.id.in_(_held_up))
_holding_up_there = _questions.where(_Q.id.in_(_held_up.where(F.category == bindparam("category_"))))
_requests = (
    select(F.id, F.name, F.human_request, F.created_by, F.created_at, events.c.agent, events.c.at)
    .outerjoin(
        events,
        (events.c.project_id == F.project_id) & (events.c.feature_id == F.id) & (events.c.kind == Kind.ASK.value),
    )
    .where(in_project(), resting(), is_(Status.NEEDS_HUMAN), F.id > 0)
    .order_by(F.id, events.c.id)
)
_requests_of = select(F.id, F.human_request).where(
    in_project(), is_(Status.NEEDS_HUMAN), F.id.in_(bindparam("ids", expanding=True))
)
_questions_of = select(_Q.id, _Q.questions).where(
    in_project(questions), IS_OPEN, _Q.id.in_(bindparam("numbers", expanding=True))
)


def count_open(tx: Transaction) -> int:
    """Return how many questions of `ask_user` are open."""
    return int(tx.value(_count))


def words_of(tx: Transaction, number: int) -> str:
    """Return the text of an `ask_user` question, truncated; "" if there is no such question."""
    asked = tx.value(_asked, number=number)
    return truncate(words(asked), SHOWN_PROMPT) or "" if asked is not None else ""


def open_questions(tx: Transaction) -> list[OpenQuestion]:
    """Return the open questions of `ask_user`."""
    return [
        OpenQuestion(
            question_id=row["id"],
            feature_ids=features_of(tx, row["id"]),
            asked_by=row["asked_by"],
            asked_at=row["asked_at"],
            questions=row["questions"],
        )
        for row in tx.all(_questions)
    ]


def requests_of(tx: Transaction, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return the complete open requests about these features: `prompt` and `fields`."""
    return {row["id"]: row["human_request"] for row in tx.all(_requests_of, ids=list(ids))} if ids else {}


def questions_of(tx: Transaction, numbers: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """Return the complete texts of the open ones among these `ask_user` questions, by their numbers."""
    return {row["id"]: row["questions"] for row in tx.all(_questions_of, numbers=list(numbers))} if numbers else {}


def first_open_rows(tx: Transaction, most: int) -> Sequence[Row]:
    """Return the rows of the first open questions of `ask_user`."""
    return tx.all(_first, most=most)


def first_open_questions(tx: Transaction, most: int) -> list[WaitingQuestion]:
    """Return the first open questions of `ask_user`, truncated."""
    return waiting_questions(tx, first_open_rows(tx, most))


def first_holding_up(tx: Transaction, most: int, category: str | None = None) -> list[WaitingQuestion]:
    """Return the first open questions for which pending features (of `category`) wait, truncated."""
    if category is None:
        return waiting_questions(tx, tx.all(_holding_up.limit(most)))
    return waiting_questions(tx, tx.all(_holding_up_there.limit(most), category_=category))


def waiting_questions(tx: Transaction, rows: Sequence[Row]) -> list[WaitingQuestion]:
    """Return questions of `ask_user` from their rows, truncated, with the features that wait for each."""
    found: list[WaitingQuestion] = []
    for row in rows:
        waiting = features_of(tx, row["id"])
        found.append(
            WaitingQuestion(
                question_id=row["id"],
                prompt=truncate(words(row["questions"]), SHOWN_PROMPT) or "",
                asked_by=truncate(row["asked_by"], SHOWN_ASKER),
                features=waiting[:SHOWN_FEATURES],
                more_features=max(0, len(waiting) - SHOWN_FEATURES),
            )
        )
    return found


def open_requests(tx: Transaction) -> list[OpenQuestion]:
    """Return the open requests about features, in the order of the features' ids."""
    latest = {row["id"]: row for row in tx.all(_requests)}
    return [
        OpenQuestion(
            feature_id=row["id"],
            asked_by=row["agent"] or row["created_by"],  # an imported request has no event
            asked_at=row["at"] or row["created_at"],
            prompt=row["human_request"]["prompt"],
            fields=row["human_request"]["fields"],
        )
        for row in latest.values()
    ]
