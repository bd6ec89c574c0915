"""`dibs answer`: what agents ask a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import click

from dibs.cli.operation_command import checked
from dibs.cli.options import backlog, looks_at_backlog, print_json, settings_options
from dibs.cli.wording import SHELL
from dibs.session.caller import Caller
from dibs.session.issued_tokens import ClaimMemory
from dibs.session.session import Session, refuse_role
from dibs.settings import Settings
from dibs_schema.inputs import GREATEST_ID, HumanField
from dibs_schema.operations import BY_TOOL
from dibs_schema.operations.people import AnswerHumanInput
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs_schema.answers import OpenQuestion


OPERATION = BY_TOOL["feature_answer_human_input"]


@click.command()
@click.argument("feature_id", type=click.IntRange(1, GREATEST_ID), required=False)
@click.option(
    "--question",
    type=click.IntRange(1, GREATEST_ID),
    help="Answer this question to the user instead of a feature's.",
)
@click.option("--set", "given", multiple=True, metavar="FIELD=VALUE", help="An answer; may be repeated.")
@click.option("--cancel", is_flag=True, help="Withdraw the question.")
@settings_options("role")
@looks_at_backlog
def answer(
    feature_id: int | None,
    *,
    question: int | None,
    given: tuple[str, ...],
    cancel: bool,
    as_json: bool,
    role: str | None,
    **flags: Any,
) -> None:
    """List what agents ask, or answer one request: dibs answer 12 --set colour=blue.

    Without --set the fields are asked for at the terminal.
    """
    settings = Settings.read(flags | {"role": role}).model_copy(update={"agent": None})  # a person answers
    if feature_id is not None and question is not None:
        raise InvalidInput("Name either a feature or --question.", field="question")
    if feature_id is not None or question is not None:
        refuse_role(settings.role, OPERATION, SHELL)
    with backlog(flags) as database:
        asked = _open(database)
        if feature_id is None and question is None:
            _list(asked, as_json=as_json)
            return
        answers = None if cancel else _answers(asked, feature_id, question, given)
        arguments = {"feature_id": feature_id, "question_id": question, "answers": answers, "cancel": cancel}
        session = Session(database, settings, Caller.in_shell(settings), ClaimMemory(), wording=SHELL)
        done = anyio.run(session.perform, OPERATION, checked(AnswerHumanInput, arguments))
    if as_json:
        print_json(done.wire())
    else:
        what = f"Feature {feature_id}" if feature_id is not None else f"Question {question}"
        click.echo(f"{what}: {done.wire().get('state') or done.wire()['status']}.")


def _open(database: Database) -> list[OpenQuestion]:
    from dibs.queries.open_questions import open_questions, open_requests

    return database.read_now(lambda tx: [*open_requests(tx), *open_questions(tx)])


def _list(asked: list[OpenQuestion], *, as_json: bool) -> None:
    if as_json:
        print_json([one.wire() for one in asked])
        return
    if not asked:
        click.echo("Nobody asks anything.")
    for one in asked:
        name = f"{one.feature_id}" if one.feature_id is not None else f"--question {one.question_id}"
        click.echo(f"dibs answer {name}   asked by {one.asked_by}")
        if one.prompt:
            click.echo(f"    {one.prompt}")
        for field in one.fields:
            options = f" ({', '.join(field['options'])})" if field.get("options") else ""
            click.echo(f"    {field['id']}: {field['label']}{options}")
        for entry in one.questions:
            labels = ", ".join(option["label"] for option in entry["options"])
            click.echo(f"    {entry['header']}: {entry['question']} ({labels})")


def _answers(
    asked: list[OpenQuestion], feature: int | None, question: int | None, given: tuple[str, ...]
) -> dict[str, Any]:
    """What was given with --set, or is asked for at the terminal, as the fields want it."""
    one = next((one for one in asked if (one.feature_id, one.question_id) == (feature, question)), None)
    fields = {field["id"]: HumanField.model_validate(field) for field in one.fields} if one else {}
    if given:
        pairs = [text.partition("=") for text in given]
        if bad := next((text for text, (_, equals, _) in zip(given, pairs, strict=True) if not equals), None):
            raise InvalidInput(f"--set {bad}: write FIELD=VALUE.", field="set")
        return {name: _typed(fields.get(name), value) for name, _, value in pairs}
    if one is None:
        return {"answer": ""}  # whatever is answered, the refusal says why nothing is asked
    answers: dict[str, Any] = {}
    for entry in one.questions:
        labels = [option["label"] for option in entry["options"]]
        answers[entry["header"]] = click.prompt(f"{entry['question']} ({', '.join(labels)})")
    for name, field in fields.items():
        kind = click.Choice(field.options) if field.type == "select" else None
        text = click.prompt(field.label, type=kind, default=None if field.required else "", show_default=False)
        if text != "":
            answers[name] = _typed(field, text)
    return answers


def _typed(field: HumanField | None, value: str) -> str | bool:
    if field is None or field.type != "boolean":
        return value
    truth = {
        "true": True,
        "yes": True,
        "y": True,
        "1": True,
        "false": False,
        "no": False,
        "n": False,
        "0": False,
    }
    if value.lower() not in truth:
        raise InvalidInput(f"{field.id}: answer yes or no.", field=f"answers.{field.id}")
    return truth[value.lower()]
