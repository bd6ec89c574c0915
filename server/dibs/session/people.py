"""Operations that ask a person, and operations by which a person answers and reviews."""

from __future__ import annotations

from dibs.database.transaction import Transaction
from dibs.session.caller import CallContext
from dibs.session.session import Session
from dibs.verbs import ask_person as requests
from dibs.verbs import ask_user as questions
from dibs.verbs import review
from dibs_schema.answers import Acknowledgement, Asked
from dibs_schema.inputs import HumanField
from dibs_schema.object_lists import models_of
from dibs_schema.operations.people import (
    AnswerHumanInput,
    ApprovePass,
    AskUser,
    RejectPass,
    RequestHumanInput,
    ReturnPass,
)
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Kind

USER = "user"
"""The author of an answer that a person gives through an agent's client."""
ONE_TEXT = HumanField(id="answer", label="Answer", type="textarea")
"""What a person is asked for if a request names no field."""


async def ask_person(session: Session, args: RequestHumanInput, context: CallContext) -> Acknowledgement:
    """Ask a person about a claimed feature. An answer within the call keeps the claim; otherwise it ends.

    With a question_id, the claim ends and the feature waits for the answer to that question.
    """
    feature, question = args.feature_id, args.question_id
    if question is not None:
        if args.prompt is not None or args.fields is not None:
            raise InvalidInput(
                "question_id: that question has its own text. Send no prompt and fields.", field="prompt"
            )
        return await session.transition(
            feature,
            args.claim_token,
            Kind.ASK,
            lambda tx, by, token: questions.wait_for_question(tx, by, feature, token, question),
        )
    if args.prompt is None:
        raise InvalidInput("prompt: say what to ask, or name an open question by question_id.", field="prompt")
    prompt, fields = args.prompt, models_of(args.fields or [ONE_TEXT])
    request = requests.new_request(prompt, fields)
    if context.can_ask:
        choose = session.claims.choose(feature, args.claim_token, Kind.ASK)
        token = await session.database.read(choose)
        if token is not None:
            await session.database.read(lambda tx: _check_claim(session, tx, feature, token))
            await session.prove_alive(token)
            reply = await context.ask_fields(prompt, fields)
            if reply is not None and reply.answers is not None:
                answers = reply.answers
                return await session.database.write(
                    lambda tx: requests.answer_claimed(tx, USER, feature, token, request, answers)
                )
    return await session.transition(
        feature,
        args.claim_token,
        Kind.ASK,
        lambda tx, by, token: requests.request_human_input(tx, by, feature, token, request),
    )


def _check_claim(session: Session, tx: Transaction, feature: int, token: str) -> None:
    session.refuse_foreign_claim(tx, feature, token)
    requests.check_claim(tx, feature, token)


async def ask_user(session: Session, args: AskUser, context: CallContext) -> Asked:
    """Store questions to the user and ask them if the client can, or read or withdraw an earlier one."""
    if (args.questions is None) == (args.question_id is None):
        raise InvalidInput("Send either questions or question_id.", field="questions")
    if args.questions is None and args.feature_ids:
        raise InvalidInput("feature_ids: only features named with new questions wait for them.", field="feature_ids")
    if args.questions is not None and args.cancel:
        raise InvalidInput("cancel: send the question_id of the question to withdraw.", field="cancel")
    database = session.database
    by = session.author()
    if args.questions is None:
        assert args.question_id is not None, "one of the two is given"
        earlier, asker = args.question_id, None if session.settings.role.plans else by
        if args.cancel:
            return await database.write(lambda tx: questions.cancel_question(tx, by, earlier, asker))
        return await database.read(lambda tx: questions.read_question(tx, earlier))
    wanted, waiting = models_of(args.questions), args.feature_ids or []
    if context.asked_question is None:
        stored = await database.write(lambda tx: questions.ask_user(tx, by, wanted, waiting))
    else:  # the client repeats the call with the user's answer to the question stored before
        repeated = context.asked_question
        stored = await database.read(lambda tx: questions.read_question(tx, repeated))
    number = stored.question_id
    reply = await context.ask_questions(wanted, number)
    if reply is None:
        return stored
    if reply.answers is None:
        return await database.write(lambda tx: questions.cancel_question(tx, USER, number))
    answers = reply.answers
    return await database.write(lambda tx: questions.answer_question(tx, USER, number, answers))


async def answer_person(session: Session, args: AnswerHumanInput, _: CallContext) -> Acknowledgement | Asked:
    """Answer a feature's request or a question, or cancel it."""
    if (args.feature_id is None) == (args.question_id is None):
        raise InvalidInput("Send either feature_id or question_id.", field="feature_id")
    if args.cancel == (args.answers is not None):
        raise InvalidInput("Send either answers or cancel=true.", field="answers")
    by = session.author()
    database, answers = session.database, args.answers
    if args.feature_id is not None:
        feature = args.feature_id
        if answers is None:
            return await database.write(lambda tx: requests.cancel_request(tx, by, feature))
        return await database.write(lambda tx: questions.answer_about(tx, by, feature, answers))
    assert args.question_id is not None, "one of the two is given"
    number = args.question_id
    if answers is None:
        return await database.write(lambda tx: questions.cancel_question(tx, by, number))
    return await database.write(lambda tx: questions.answer_question(tx, by, number, answers))


async def approve(session: Session, args: ApprovePass, _: CallContext) -> Acknowledgement:
    """Confirm a pass in a person's name."""
    by = session.author()
    return await session.database.write(lambda tx: review.approve(tx, by, args.feature_id))


async def return_(session: Session, args: ReturnPass, _: CallContext) -> Acknowledgement:
    """Return a passing feature to the queue, with feedback."""
    by = session.author()
    return await session.database.write(lambda tx: review.return_to_queue(tx, by, args.feature_id, args.feedback))


async def reject(session: Session, args: RejectPass, _: CallContext) -> Acknowledgement:
    """Let a passing feature be stuck, for a reason."""
    by = session.author()
    return await session.database.write(lambda tx: review.reject(tx, by, args.feature_id, args.reason))
