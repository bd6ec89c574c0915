"""The operations that ask a person, and the one that answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dibs_schema.answers import Acknowledgement, Asked
from dibs_schema.inputs import Answers, FeatureId, HumanFields, Questions, Reason, Token
from dibs_schema.operations.operation import Command, Operation, arguments, either, only
from dibs_schema.roles import CODER, PLANNER

ID = ("feature_id",)


@arguments
class RequestHumanInput:
    """Ask a person what a claimed feature cannot be built without; ends the claim, unless they answer at once."""

    feature_id: FeatureId
    prompt: Reason
    fields: HumanFields
    claim_token: Token | None = None


@arguments
class AnswerHumanInput:
    """Give a person's answer to a waiting feature (or a question), or cancel the request."""

    feature_id: FeatureId | None = None
    question_id: FeatureId | None = None
    answers: Annotated[Answers | None, Field(description="by a field's id, or by a question's header")] = None
    cancel: bool = False


@arguments
class AskUser:
    """Ask the user something, or read the answer by question_id."""

    questions: Questions | None = None
    question_id: FeatureId | None = None


class People:
    """The operations that ask a person, and the one that answers."""

    ask_person = Operation(
        "feature_request_human_input",
        "Ask a person",
        roles=(CODER,),
        arguments=RequestHumanInput,
        answers=only(Acknowledgement),
        command=Command(
            "ask",
            (*ID, "prompt"),
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
            options={"question_id": "--read"},
            texts={"question_id": "Read the answer to the question with this id."},
            help="""Ask the user a question with answers to choose from, or --read the answer.

            A person answers with `dibs answer --question ID`.""",
        ),
    )
