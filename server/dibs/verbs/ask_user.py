"""Questions to the user that belong to no feature: an agent asks, a person answers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, insert, select, update

from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import in_project
from dibs.rules.events import record
from dibs.rules.truncate import truncate_json
from dibs_schema.answers import Asked
from dibs_schema.inputs import Question, checked_answers
from dibs_schema.next_step import Step
from dibs_schema.refusals import InvalidInput, NotFound, NotWaitingForHuman
from dibs_schema.status import Kind
from dibs_schema.tables import projects, questions

_Q = questions.c
ANSWER_BYTES = 8_000
"""Bytes of the replies in an answer; the database stores all of them."""

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
    .where(_this, _Q.answered_at.is_(None))
    .values(
        answered_by=bindparam("by"), answered_at=bindparam("now"), answers=bindparam("reply", type_=_Q.answers.type)
    )
)


def ask_user(tx: Transaction, by: str, asked: list[Question]) -> Asked:
    """Store questions until a person answers them. Raises InvalidInput if two have the same header."""
    headers = [question.header for question in asked]
    twice = next((header for header in headers if headers.count(header) > 1), None)
    if twice is not None:
        raise InvalidInput(
            f"questions: two questions have the header {twice!r}. Give each question a different header.",
            field="questions",
        )
    number = tx.value(_take_number) - 1
    tx.run(_keep, number=number, by=by, asked=[question.model_dump(exclude_defaults=True) for question in asked])
    record(tx, by, Kind.ASK, None, question=number)
    return Asked(
        question_id=number,
        state="open",
        message="The question is open. Continue with other work.",
        next=(_read(number, "later to read the answer"),),
    )


def read_question(tx: Transaction, number: int) -> Asked:
    """Return the state of a question and its answers. Raises NotFound."""
    row = _find(tx, number)
    if row["answered_at"] is None:
        return Asked(
            question_id=number, state="open", message="Nobody has answered yet.", next=(_read(number, "again later"),)
        )
    if row["answers"] is None:
        return Asked(question_id=number, state="cancelled", answered_by=row["answered_by"])
    return Asked(
        question_id=number,
        state="answered",
        answers=truncate_json(row["answers"], ANSWER_BYTES),
        answered_by=row["answered_by"],
    )


def answer_question(tx: Transaction, by: str, number: int, answers: dict[str, Any]) -> Asked:
    """Answer a question: each header (or position, from 1) with a label, several labels, or any other string.

    Raises NotFound, NotWaitingForHuman, InvalidInput.
    """
    checked = _checked_against(_find(tx, number)["questions"], answers)
    if not tx.run(_close, number=number, by=by, reply=checked):
        _refuse_closed(number)
    record(tx, by, Kind.ANSWER, None, question=number, answers=checked)
    return Asked(question_id=number, state="answered", answers=truncate_json(checked, ANSWER_BYTES), answered_by=by)


def cancel_question(tx: Transaction, by: str, number: int) -> Asked:
    """Cancel a question. Raises NotFound, NotWaitingForHuman."""
    _find(tx, number)
    if not tx.run(_close, number=number, by=by, reply=None):
        _refuse_closed(number)
    record(tx, by, Kind.CANCEL, None, question=number)
    return Asked(question_id=number, state="cancelled", answered_by=by)


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


def _refuse_closed(number: int) -> None:
    raise NotWaitingForHuman(
        f"Question {number} is already closed.", next=[_read(number, "to read its answer")], question_id=number
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
