"""The tools that ask a person, and the one that answers for them."""

from __future__ import annotations

from typing import Any

from mcp.types import InputRequiredResult

from dibs.mcp.context import Ctx, connection_of
from dibs.mcp.elicitation import elicit, field_schema, question_schema, spread
from dibs.verbs import ask_person
from dibs.verbs import ask_user as user_questions
from dibs_schema.answers import Acknowledgement, Asked
from dibs_schema.inputs import Answers, FeatureId, HumanFields, Questions, Reason, Token
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Kind

USER = "user"
"""How a person who answers through an agent's client is shown."""


async def feature_request_human_input(
    ctx: Ctx, feature_id: FeatureId, prompt: Reason, fields: HumanFields, claim_token: Token | None = None
) -> Acknowledgement | InputRequiredResult:
    """Ask a person what a claimed feature cannot be built without; ends the claim, unless they answer at once."""
    here = connection_of(ctx)
    request = ask_person.new_request(prompt, fields)
    token = here.tokens.meant(feature_id, claim_token, Kind.ASK)
    if token is not None:
        await here.database.read(lambda tx: ask_person.check_claim(tx, feature_id, token))
        await here.keep(token)
        reply = await elicit(ctx, prompt, field_schema(fields))
        if isinstance(reply, InputRequiredResult):
            return reply
        if reply is not None and reply.action == "accept":
            answers = {name: value for name, value in (reply.content or {}).items() if value is not None}
            return await here.database.write(
                lambda tx: ask_person.answer_claimed(tx, USER, feature_id, token, request, answers)
            )
    return await here.move(
        feature_id,
        token,
        Kind.ASK,
        lambda tx, by, good: ask_person.request_human_input(tx, by, feature_id, good, request),
    )


async def ask_user(
    ctx: Ctx, questions: Questions | None = None, question_id: FeatureId | None = None
) -> Asked | InputRequiredResult:
    """Ask the user something, or read the answer by question_id."""
    here = connection_of(ctx)
    if (questions is None) == (question_id is None):
        raise InvalidInput("Send either questions or question_id.", field="questions")
    if questions is None:
        assert question_id is not None, "one of the two is given"
        return await here.database.read(lambda tx: user_questions.read_question(tx, question_id))
    by = here.author()
    if ctx.request_state is None:
        asked = await here.database.write(lambda tx: user_questions.ask_user(tx, by, questions))
    else:  # the client comes back with what the user said to the question kept before
        kept = int(ctx.request_state)
        asked = await here.database.read(lambda tx: user_questions.read_question(tx, kept))
    return await _answered_at_once(ctx, asked, questions)


async def _answered_at_once(ctx: Ctx, asked: Asked, questions: Questions) -> Asked | InputRequiredResult:
    database = connection_of(ctx).database
    number = asked.question_id
    message = "\n".join(one.question for one in questions)
    reply = await elicit(ctx, message, question_schema(questions), state=str(number))
    if isinstance(reply, InputRequiredResult):
        return reply
    if reply is None or reply.action == "cancel":
        return asked
    if reply.action == "decline":
        return await database.write(lambda tx: user_questions.cancel_question(tx, USER, number))
    answers: dict[str, Any] = spread(questions, reply.content or {})
    return await database.write(lambda tx: user_questions.answer_question(tx, USER, number, answers))


async def feature_answer_human_input(
    ctx: Ctx,
    feature_id: FeatureId | None = None,
    question_id: FeatureId | None = None,
    answers: Answers | None = None,
    cancel: bool = False,
) -> Acknowledgement | Asked:
    """Give a person's answer to a waiting feature (or a question), or cancel the request."""
    if (feature_id is None) == (question_id is None):
        raise InvalidInput("Send either feature_id or question_id.", field="feature_id")
    if cancel == (answers is not None):
        raise InvalidInput("Send either answers or cancel=true.", field="answers")
    here = connection_of(ctx)
    by = here.author()
    if feature_id is not None:
        return await here.database.write(
            lambda tx: (
                ask_person.answer_feature(tx, by, feature_id, answers)
                if answers is not None
                else ask_person.cancel_request(tx, by, feature_id)
            )
        )
    assert question_id is not None, "one of the two is given"
    return await here.database.write(
        lambda tx: (
            user_questions.answer_question(tx, by, question_id, answers)
            if answers is not None
            else user_questions.cancel_question(tx, by, question_id)
        )
    )
