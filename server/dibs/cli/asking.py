"""What an agent in a shell asks people: about a feature, or in general."""

from __future__ import annotations

import json
from typing import Any

import click

from dibs.cli.calling import Call, calls, fitting
from dibs_schema.answers import Answer
from dibs_schema.inputs import FeatureId, HumanField, HumanFields, Questions, Reason
from dibs_schema.refusals import InvalidInput

FIELD = "answer"
"""The id of the one field that is asked for where none is named."""


def _fields(_: click.Context, __: click.Parameter, given: str | None) -> Any:
    """The fields as JSON, or nothing."""
    return from_json("fields", given)


def from_json(name: str, given: str | None) -> Any:
    """A JSON value. Raises click.BadParameter for what is none."""
    if given is None:
        return None
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        raise click.BadParameter(f"{name} is not JSON.") from None


@click.command()
@click.argument("feature_id", type=int)
@click.argument("prompt")
@click.option(
    "--field", "named", multiple=True, metavar="ID=LABEL", help="A text to ask for; may be repeated."
)
@click.option("--select", multiple=True, metavar="ID=ONE,TWO", help="A choice to ask for; may be repeated.")
@click.option("--yes-no", multiple=True, metavar="ID=LABEL", help="A yes or no to ask for; may be repeated.")
@click.option("--fields", callback=_fields, metavar="JSON", help="All the fields, as the tool takes them.")
@calls("feature_request_human_input", "agent", "token")
def ask(
    call: Call,
    feature_id: FeatureId,
    prompt: Reason,
    named: list[str],
    select: list[str],
    yes_no: list[str],
    fields: HumanFields | None,
) -> Answer:
    """Ask a person what a claimed feature cannot be built without; ends the claim.

    Without a field, one text is asked for.
    """
    from dibs.verbs import ask_person

    request = ask_person.new_request(prompt, _asked(fields, named, select, yes_no))
    return call.move(
        feature_id, lambda tx, by, token: ask_person.request_human_input(tx, by, feature_id, token, request)
    )


def _asked(
    fields: HumanFields | None, named: list[str], select: list[str], yes_no: list[str]
) -> list[HumanField]:
    """What is asked for, by whichever option. Raises InvalidInput."""
    given: list[dict[str, Any]] = []
    for option, kind, texts in (
        ("field", "text", named),
        ("select", "select", select),
        ("yes-no", "boolean", yes_no),
    ):
        for text in texts:
            name, equals, rest = text.partition("=")
            if not equals:
                raise InvalidInput(f"--{option} {text[:60]}: write ID=…", field=option)
            more = {"label": name, "options": rest.split(",")} if kind == "select" else {"label": rest}
            given.append({"id": name, "type": kind, **more})
    if fields is None and not given:
        given.append({"id": FIELD, "label": "Answer", "type": "textarea"})
    checked: list[HumanField] = fitting({"fields": HumanFields}, {"fields": given})["fields"] if given else []
    return [*(fields or []), *checked]


def _questions(_: click.Context, __: click.Parameter, given: str | None) -> Any:
    """The questions as JSON, or nothing."""
    return from_json("questions", given)


@click.command("ask-user")
@click.argument("question", required=False)
@click.option("--header", default="Question", show_default=True, help="A word or two that name it.")
@click.option("--option", "options", multiple=True, help="An answer to choose; two to four.")
@click.option("--multi", is_flag=True, help="Several may be chosen.")
@click.option(
    "--questions", callback=_questions, metavar="JSON", help="Up to four questions, as the tool takes them."
)
@click.option(
    "--read", "question_id", type=int, metavar="ID", help="Read the answer to a question of before."
)
@calls("ask_user", "agent")
def ask_user(
    call: Call,
    question: str | None,
    header: str,
    options: list[str],
    multi: bool,
    questions: Questions | None,
    question_id: FeatureId | None,
) -> Answer:
    """Ask the user a question with answers to choose from, or --read the answer.

    A person answers with `dibs answer --question ID`.
    """
    from dibs.verbs.ask_user import ask_user as ask_them
    from dibs.verbs.ask_user import read_question

    if sum(one is not None for one in (question, questions, question_id)) != 1:
        raise InvalidInput("Give one of QUESTION, --questions and --read.", field="questions")
    if question_id is not None:
        return call.read(lambda tx: read_question(tx, question_id))
    if question is not None:
        one = {"question": question, "header": header, "options": options, "multiSelect": multi}
        questions = fitting({"questions": Questions}, {"questions": [one]})["questions"]
    assert questions is not None, "one of the three is given"
    asked = questions
    return call.write(lambda tx: ask_them(tx, call.author, asked))
