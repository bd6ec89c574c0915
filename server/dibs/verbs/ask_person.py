"""Ask a person about a claimed feature, answer the request, or cancel it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select, update

from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import F, ending, held, is_, literal, this
from dibs.rules.diagnosis import earlier_outcome, find, holder_of, refuse_transition
from dibs.rules.events import record
from dibs.rules.questions import open_questions_of
from dibs.rules.truncate import truncate_json
from dibs_schema.answers import Acknowledgement
from dibs_schema.inputs import HumanField, checked_answers
from dibs_schema.next_step import NEXT_FEATURE, Step
from dibs_schema.refusals import InvalidInput, NotWaitingForHuman
from dibs_schema.status import Kind, Status
from dibs_schema.tables import features

ANSWER_BYTES = 4_000
"""Bytes of the answers in an acknowledgement; the database stores all of them."""

_request = bindparam("request", type_=F.human_request.type)
_answer = bindparam("reply", type_=F.human_answer.type)

_ask = (
    update(features)
    .where(this(), held())
    .values(
        {F.status: literal(Status.NEEDS_HUMAN), F.human_request: _request, F.human_answer: None, **ending(Kind.ASK)}
    )
)
_answer_waiting = (
    update(features)
    .where(this(), is_(Status.NEEDS_HUMAN))
    .values({F.status: literal(Status.PENDING), F.human_answer: _answer, F.updated_at: bindparam("now")})
)
_answer_claimed = (
    update(features)
    .where(this(), held())
    .values(
        {
            F.human_request: _request,
            F.human_answer: _answer,
            F.last_activity_at: bindparam("now"),
            F.updated_at: bindparam("now"),
        }
    )
)
_cancel = (
    update(features)
    .where(this(), is_(Status.NEEDS_HUMAN))
    .values(
        {F.status: literal(Status.PENDING), F.human_request: None, F.human_answer: None, F.updated_at: bindparam("now")}
    )
)
_request_of = select(F.id, F.human_request).where(this(), is_(Status.NEEDS_HUMAN))


def new_request(prompt: str, fields: list[HumanField]) -> dict[str, Any]:
    """Return a request as it is stored. Raises InvalidInput if two fields have the same id."""
    ids = [field.id for field in fields]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice is not None:
        raise InvalidInput(f"fields: two fields have the id {twice!r}. Give each field a different id.", field="fields")
    return {"prompt": prompt, "fields": [field.model_dump(exclude_defaults=True) for field in fields]}


def request_human_input(
    tx: Transaction, by: str, feature: int, token: str | None, request: dict[str, Any]
) -> Acknowledgement:
    """End a claim until a person has answered.

    Raises ClaimLost, TokenRequired, NotClaimed, or the refusal of the status that the feature has now.
    """
    by = holder_of(tx, feature, token) or by
    if token is None or not tx.run(_ask, feature=feature, token=token, request=request):
        return asked(feature, earlier_outcome(tx, feature, token, Kind.ASK))
    record(tx, by, Kind.ASK, feature, Status.IN_PROGRESS, Status.NEEDS_HUMAN, prompt=request["prompt"])
    return asked(feature, {})


def asked(feature: int, detail: dict[str, Any]) -> Acknowledgement:
    """Return the answer to a call that ended a claim until a person answers; `detail` is the detail of its event."""
    question = detail.get("question")
    return Acknowledgement(
        id=feature,
        status=Status.NEEDS_HUMAN.value if question is None else Status.PENDING.value,
        question_id=question,
        hint="The answer comes with the next claim of this feature.",
        next=(NEXT_FEATURE,),
    )


def check_claim(tx: Transaction, feature: int, token: str | None) -> None:
    """Raise the refusal that a transition with this token would get now. Writes nothing."""
    row = find(tx, feature)
    if token is None or row["claim_token"] != token:
        earlier_outcome(tx, feature, token, Kind.ASK)


def answer_claimed(
    tx: Transaction, by: str, feature: int, token: str, request: dict[str, Any], answers: dict[str, Any]
) -> Acknowledgement:
    """Store a person's answer while the asking call is still open; the claim continues.

    Raises InvalidInput if an answer does not match its field, and ClaimLost if the claim has ended.
    """
    checked = checked_against(request, answers)
    reply = {"answers": checked, "by": by, "prompt": request["prompt"]}
    if not tx.run(_answer_claimed, feature=feature, token=token, request=request, reply=reply):
        refuse_transition(tx, feature, token)
    record(tx, by, Kind.ANSWER, feature, Status.IN_PROGRESS, Status.IN_PROGRESS, answers=checked)
    return Acknowledgement(id=feature, status=Status.IN_PROGRESS.value, answer=truncate_json(checked, ANSWER_BYTES))


def answer_feature(tx: Transaction, by: str, feature: int, answers: dict[str, Any]) -> Acknowledgement:
    """Answer a waiting feature. The next claim receives the answer.

    Raises NotWaitingForHuman, NotFound, or InvalidInput with the field of the first invalid answer.
    """
    request = _waiting(tx, feature)["human_request"]
    checked = checked_against(request, answers)
    reply = {"answers": checked, "by": by, "prompt": request["prompt"]}
    tx.run(_answer_waiting, feature=feature, reply=reply)
    record(tx, by, Kind.ANSWER, feature, Status.NEEDS_HUMAN, Status.PENDING, answers=checked)
    return Acknowledgement(id=feature, status=Status.PENDING.value)


def cancel_request(tx: Transaction, by: str, feature: int) -> Acknowledgement:
    """Cancel the request; the feature returns to the queue. Raises NotWaitingForHuman, NotFound."""
    _waiting(tx, feature)
    tx.run(_cancel, feature=feature)
    record(tx, by, Kind.CANCEL, feature, Status.NEEDS_HUMAN, Status.PENDING)
    return Acknowledgement(id=feature, status=Status.PENDING.value)


def _waiting(tx: Transaction, feature: int) -> Row:
    row = tx.first(_request_of, feature=feature)
    if row is None:
        status = find(tx, feature)["status"]
        _refuse_if_it_waits(tx, feature)
        raise NotWaitingForHuman(
            f"Feature {feature} is {status}, and no question about it is open. `dibs answer` lists the open questions.",
            next=[Step("feature_search", {"status": Status.NEEDS_HUMAN.value}, "for features that wait for an answer")],
            id=feature,
            status=status,
        )
    return row


def _refuse_if_it_waits(tx: Transaction, feature: int) -> None:
    numbers = [row["id"] for row in open_questions_of(tx, feature)]
    if numbers:
        raise NotWaitingForHuman(
            f"Feature {feature} asks nothing itself: it waits for the answer to question {numbers[0]}.",
            next=[Step("feature_answer_human_input", {"question_id": one}, needs=("answers",)) for one in numbers[:3]],
            id=feature,
            question_ids=numbers,
        )


def checked_against(request: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    """Return the answers, checked against the requested fields. Raises InvalidInput with the field."""
    answers = checked_answers(answers)
    fields = {field["id"]: HumanField.model_validate(field) for field in request["fields"]}
    for name in answers:
        if name not in fields:
            raise InvalidInput(
                f"answers.{name}: no field has this name. The fields are {', '.join(fields)}.", field=f"answers.{name}"
            )
    for name, field in fields.items():
        problem = _problem_with(field, answers.get(name))
        if problem:
            raise InvalidInput(f"answers.{name}: {problem}.", field=f"answers.{name}")
    return answers


def _problem_with(field: HumanField, answer: Any) -> str | None:
    if answer is None or answer == "":
        return "an answer is required" if field.required else None
    if field.type == "boolean":
        return None if isinstance(answer, bool) else "answer true or false"
    if not isinstance(answer, str):
        return "answer with a string"
    if field.type == "select" and answer not in field.options:
        return f"choose one of {', '.join(field.options)}"
    return None
