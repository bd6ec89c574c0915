"""The operations that ask a person, and those by which a person answers and reviews."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dibs_schema.answers import Acknowledgement, Asked
from dibs_schema.inputs import Answers, FeatureId, FeatureIds, HumanFields, Questions, Reason, Token
from dibs_schema.operations.operation import Command, Operation, arguments, either, only
from dibs_schema.roles import CODER, PLANNER

ID = ("feature_id",)


@arguments
class RequestHumanInput:
    """Ask a person about a claimed feature, or wait for an open question; ends the claim unless answered at once."""

    feature_id: FeatureId
    prompt: Reason | None = None
    fields: HumanFields | None = None
    claim_token: Token | None = None
    question_id: FeatureId | None = None


@arguments
class AnswerHumanInput:
    """Give a person's answer to a waiting feature (or a question), or cancel the request."""

    feature_id: FeatureId | None = None
    question_id: FeatureId | None = None
    answers: Annotated[Answers | None, Field(description="by a field's id, or by a question's header")] = None
    cancel: bool = False


@arguments
class ApprovePass:
    """Confirm a passing feature in a person's name, and end its recheck."""

    feature_id: FeatureId


@arguments
class ReturnPass:
    """Put a passing feature back into the queue; its next worker gets your feedback."""

    feature_id: FeatureId
    feedback: Reason


@arguments
class RejectPass:
    """Take a passing feature out of the queue: it is stuck until a retry."""

    feature_id: FeatureId
    reason: Reason


@arguments
class AskUser:
    """Ask the user, or read the answer (or cancel) by question_id."""

    questions: Questions | None = None
    question_id: FeatureId | None = None
    feature_ids: Annotated[FeatureIds | None, Field(description="not handed out before the answer")] = None
    cancel: bool = False


class People:
    """The operations that ask a person, and those by which a person answers and reviews."""

    ask_person = Operation(
        "feature_request_human_input",
        "Ask a person",
        roles=(CODER,),
        arguments=RequestHumanInput,
        answers=only(Acknowledgement),
        command=Command(
            "ask",
            (*ID, "prompt"),
            options={"question_id": "--question"},
            texts={"question_id": "Wait for the answer to this open question, instead of asking another."},
            help="""Ask a person what a claimed feature cannot be built without. This ends the claim.

            Without a field, the person is asked for one text.""",
        ),
    )

    answer_person = Operation(
        "feature_answer_human_input",
        "Answer a request",
        roles=(PLANNER,),
        arguments=AnswerHumanInput,
        answers=either(Acknowledgement, Asked),
        command=Command("answer", ID, options={"question_id": "--question", "answers": "--set"}),
        repeatable=True,
    )

    ask_user = Operation(
        "ask_user",
        "Ask the user",
        roles=(CODER, PLANNER),
        arguments=AskUser,
        answers=only(Asked),
        command=Command(
            "ask-user",
            options={"question_id": "--read", "feature_ids": "--feature"},
            texts={
                "question_id": "Read the answer to the question with this id.",
                "feature_ids": "A feature that waits for the answer; may be repeated.",
                "cancel": "Withdraw the question of --read, which you asked.",
            },
            help="""Ask the user a question with answers to choose from, or --read the answer.

            A person answers with `dibs answer --question ID`.""",
        ),
        planner_only=("feature_ids",),
    )

    approve = Operation(
        "feature_approve",
        "Approve a pass",
        roles=(PLANNER,),
        arguments=ApprovePass,
        answers=only(Acknowledgement),
        command=Command("approve", ID),
    )

    return_ = Operation(
        "feature_return",
        "Return a pass",
        roles=(PLANNER,),
        arguments=ReturnPass,
        answers=only(Acknowledgement),
        command=Command("return", (*ID, "feedback")),
    )

    reject = Operation(
        "feature_reject",
        "Reject a pass",
        roles=(PLANNER,),
        arguments=RejectPass,
        answers=only(Acknowledgement),
        command=Command("reject", (*ID, "reason")),
    )
