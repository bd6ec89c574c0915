"""Questions to the user: an agent asks, a person answers, and features may wait for the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from sqlalchemy import bindparam, insert, select, update

from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import F, ending, held, in_project, literal, this
from dibs.rules.diagnosis import earlier_outcome, find, holder_of
from dibs.rules.events import record
from dibs.rules.questions import IS_OPEN, features_of, free, hold_up, is_open, open_questions_of, record_waits
from dibs.rules.truncate import truncate_json
from dibs.verbs.ask_person import answer_feature, asked
from dibs.verbs.create import known_statuses
from dibs_schema.answers import Acknowledgement, Asked
from dibs_schema.inputs import Question, checked_answers
from dibs_schema.next_step import Step
from dibs_schema.refusals import Forbidden, InvalidInput, NotFound, NotWaitingForHuman
from dibs_schema.roles import Role
from dibs_schema.status import Kind, Status
from dibs_schema.tables import features, projects, questions

_Q = questions.c
ANSWER_BYTES = 8_000
"""Bytes of the replies in an answer; the database stores all of them."""
SHOWN_FEATURES = 100
"""The features in an answer that wait for a question: as many as one call can name."""

_take_number = (
    update(projects)
    .where(projects.c.id == bindparam("project"))
    .values(next_question_id=projects.c.next_question_id + 1)
    .returning(projects.c.next_question_id)
)
_keep = insert(questions).values(
    project_id=bindparam("project"),
    id=bindparam("number"),
    asked_by=bindparam("by"),
    asked_at=bindparam("now"),
    questions=bindparam("asked", type_=_Q.questions.type),
)
_this = in_project(questions) & (_Q.id == bindparam("number"))
_one = select(questions).where(_this)
_close = (
    update(questions)
    .where(_this, IS_OPEN)
    .values(
        answered_by=bindparam("by"), answered_at=bindparam("now"), answers=bindparam("reply", type_=_Q.answers.type)
    )
)
_wait = (
    update(features)
    .where(this(), held(), is_open())
    .values({F.status: literal(Status.PENDING), F.attempts: F.attempts - 1, **ending(Kind.ASK)})
)
_close_own = _close.where(_Q.asked_by == bindparam("asker"))


def ask_user(tx: Transaction, by: str, wanted: list[Question], held_up: Sequence[int] = ()) -> Asked:
    """Store questions until a person answers them. The features `held_up` cannot be claimed before that.

    Raises InvalidInput if two questions have the same header, and NotFound.
    """
    headers = [question.header for question in wanted]
    twice = next((header for header in headers if headers.count(header) > 1), None)
    if twice is not None:
        raise InvalidInput(
            f"questions: two questions have the header {twice!r}. Give each question a different header.",
            field="questions",
        )
    waiting = sorted({*held_up})
    known_statuses(tx, waiting)
    number = tx.value(_take_number) - 1
    tx.run(_keep, number=number, by=by, asked=[question.model_dump(exclude_defaults=True) for question in wanted])
    record(tx, by, Kind.ASK, None, question=number, features=waiting)
    if waiting:
        record_waits(tx, by, Kind.UNMET, number, hold_up(tx, number, waiting))
    return Asked(
        question_id=number,
        state="open",
        feature_ids=waiting,
        message="The question is open. Continue with other work.",
        next=(_read(number, "later to read the answer"),),
    )


def read_question(tx: Transaction, number: int) -> Asked:
    """Return the state of a question and its answers. Raises NotFound."""
    row = _find(tx, number)
    waiting = features_of(tx, number)[:SHOWN_FEATURES]
    if row["answered_at"] is None:
        return Asked(
            question_id=number,
            state="open",
            questions=truncate_json(row["questions"], ANSWER_BYTES),
            feature_ids=waiting,
            message="Nobody has answered yet.",
            next=(_read(number, "again later"),),
        )
    if row["answers"] is None:
        return Asked(question_id=number, state="cancelled", answered_by=row["answered_by"], feature_ids=waiting)
    return Asked(
        question_id=number,
        state="answered",
        answers=truncate_json(row["answers"], ANSWER_BYTES),
        answered_by=row["answered_by"],
        feature_ids=waiting,
    )


def wait_for_question(tx: Transaction, by: str, feature: int, token: str | None, number: int) -> Acknowledgement:
    """End a claim, which counts as no attempt, until an open question is closed.

    Raises NotFound, NotWaitingForHuman if the question is closed, and the refusals of `request_human_input`.
    """
    by = holder_of(tx, feature, token) or by
    if token is None or not tx.run(_wait, feature=feature, token=token, question=number):
        if token is not None and find(tx, feature)["claim_token"] == token:
            _find(tx, number)
            _refuse_closed(number)
        return asked(feature, earlier_outcome(tx, feature, token, Kind.ASK))
    record(tx, by, Kind.ASK, feature, Status.IN_PROGRESS, Status.PENDING, question=number)
    hold_up(tx, number, [feature])
    return asked(feature, {"question": number})


def answer_question(tx: Transaction, by: str, number: int, answers: dict[str, Any]) -> Asked:
    """Answer a question: each header (or position, from 1) with a label, several labels, or any other string.

    The features that wait for it are free, and each later claim of one brings the answer.
    Raises NotFound, NotWaitingForHuman, InvalidInput.
    """
    checked = _checked_against(_find(tx, number)["questions"], answers)
    if not tx.run(_close, number=number, by=by, reply=checked):
        _refuse_closed(number)
    freed = free(tx, by, number)
    record(tx, by, Kind.ANSWER, None, question=number, answers=checked, features=freed)
    return Asked(
        question_id=number,
        state="answered",
        answers=truncate_json(checked, ANSWER_BYTES),
        answered_by=by,
        feature_ids=freed[:SHOWN_FEATURES],
    )


def answer_about(tx: Transaction, by: str, feature: int, answers: dict[str, Any]) -> Acknowledgement | Asked:
    """Answer a feature's request, or else the only question that it waits for.

    Raises NotWaitingForHuman, NotFound, InvalidInput.
    """
    waits_for = open_questions_of(tx, feature)
    if len(waits_for) == 1 and find(tx, feature)["status"] != Status.NEEDS_HUMAN:
        return answer_question(tx, by, waits_for[0]["id"], answers)
    return answer_feature(tx, by, feature, answers)


def cancel_question(tx: Transaction, by: str, number: int, asker: str | None = None) -> Asked:
    """Cancel a question; with `asker`, only that agent's own. The features that wait for it are free.

    Raises NotFound, NotWaitingForHuman, and Forbidden if another agent has asked it.
    """
    row = _find(tx, number)
    close = _close if asker is None else _close_own
    if not tx.run(close, number=number, by=by, reply=None, **({} if asker is None else {"asker": asker})):
        if row["answered_at"] is None:
            _refuse_others_question(number, row["asked_by"])
        _refuse_closed(number)
    freed = free(tx, by, number)
    record(tx, by, Kind.CANCEL, None, question=number, features=freed)
    return Asked(question_id=number, state="cancelled", answered_by=by, feature_ids=freed[:SHOWN_FEATURES])


def _find(tx: Transaction, number: int) -> Row:
    row = tx.first(_one, number=number)
    if row is None:
        raise NotFound(
            f"There is no question {number}. `dibs answer` lists the open questions.",
            next=[Step("ask_user", purpose="to ask one", needs=("questions",))],
            question_id=number,
        )
    return row


def _read(number: int, purpose: str) -> Step:
    return Step("ask_user", {"question_id": number}, purpose)


def _refuse_closed(number: int) -> NoReturn:
    raise NotWaitingForHuman(
        f"Question {number} is already closed.", next=[_read(number, "to read its answer")], question_id=number
    )


def _refuse_others_question(number: int, asked_by: str) -> NoReturn:
    withdraw = {"question_id": number, "cancel": True}
    raise Forbidden(
        f"{asked_by} asked question {number}, and only its asker or a planner withdraws it.",
        next=[Step("feature_answer_human_input", withdraw, "to withdraw it", by=Role.PLANNER)],
        question_id=number,
    )


def _checked_against(asked: list[dict[str, Any]], answers: dict[str, Any]) -> dict[str, Any]:
    answers = checked_answers(answers)
    by_name = {str(place): one for place, one in enumerate(asked, 1)} | {one["header"]: one for one in asked}
    checked: dict[str, Any] = {}
    for name, answer in answers.items():
        question = by_name.get(name)
        if question is None:
            known = ", ".join(one["header"] for one in asked)
            raise InvalidInput(
                f"answers.{name}: no question has this header. The headers are {known}.", field=f"answers.{name}"
            )
        if isinstance(answer, bool) or (isinstance(answer, list) and not question.get("multiSelect")):
            raise InvalidInput(f"answers.{name}: give one label or a string.", field=f"answers.{name}")
        checked[question["header"]] = answer
    missing = next((one["header"] for one in asked if one["header"] not in checked), None)
    if missing is not None:
        raise InvalidInput(f"answers.{missing}: an answer is required.", field=f"answers.{missing}")
    return checked
