"""Open questions to a person: those of `ask_user`, and requests about features."""

from __future__ import annotations

from sqlalchemy import func, select

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, in_project, is_, resting
from dibs_schema.answers import OpenQuestion
from dibs_schema.status import Kind, Status
from dibs_schema.tables import events, questions

_Q = questions.c
_questions = select(questions).where(in_project(questions), _Q.answered_at.is_(None)).order_by(_Q.id)
_count = select(func.count()).where(in_project(questions), _Q.answered_at.is_(None))
_requests = (
    select(F.id, F.name, F.human_request, F.created_by, F.created_at, events.c.agent, events.c.at)
    .outerjoin(
        events,
        (events.c.project_id == F.project_id) & (events.c.feature_id == F.id) & (events.c.kind == Kind.ASK.value),
    )
    .where(in_project(), resting(), is_(Status.NEEDS_HUMAN), F.id > 0)
    .order_by(F.id, events.c.id)
)


def count_open(tx: Transaction) -> int:
    """Return how many questions of `ask_user` are open."""
    return int(tx.value(_count))


def open_questions(tx: Transaction) -> list[OpenQuestion]:
    """Return the open questions of `ask_user`."""
    return [
        OpenQuestion(
            question_id=row["id"], asked_by=row["asked_by"], asked_at=row["asked_at"], questions=row["questions"]
        )
        for row in tx.all(_questions)
    ]


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
