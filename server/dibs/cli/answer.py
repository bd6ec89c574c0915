"""`dibs answer`: lists and answers the questions that agents ask a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import click

from dibs.cli.escaped_text import one_line
from dibs.cli.operation_command import checked
from dibs.cli.options import backlog, backlog_command, print_json, settings_options
from dibs.cli.shell_wording import SHELL
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
    from dibs.database.transaction import Transaction
    from dibs_schema.answers import Answer, OpenQuestion

OPERATION = BY_TOOL["feature_answer_human_input"]


@click.command()
@click.argument("feature_id", type=click.IntRange(1, GREATEST_ID), required=False)
@click.option(
    "--question", type=click.IntRange(1, GREATEST_ID), help="Answer this question instead of a feature's request."
)
@click.option("--set", "given", multiple=True, metavar="FIELD=VALUE", help="An answer; may be repeated.")
@click.option("--cancel", is_flag=True, help="Withdraw the question.")
@settings_options("role")
@backlog_command
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
    """List the questions of agents, or answer one request: dibs answer 12 --set colour=blue.

    Without --set the command prompts for each field.
    """
    settings = settings_of_person(flags | {"role": role})
    if feature_id is not None and question is not None:
        raise InvalidInput("Name either a feature or --question.", field="question")
    lists = feature_id is None and question is None
    if not lists:
        refuse_role(settings.role, OPERATION, SHELL)
    with backlog(flags, read_only=lists) as database:
        requests = database.read_now(_all_open)
        if lists:
            _list(requests, as_json=as_json)
            return
        answers = None if cancel else _answers(requests, feature_id, question, given)
        done = _perform(database, settings, feature_id, question, answers)
    if as_json:
        print_json(done.wire())
    else:
        click.echo(_acknowledgement(done, cancelled=cancel))


def answer_at_terminal(flags: dict[str, Any], feature: int | None, question: int | None) -> str:
    """Show a question, prompt for the answers, and return the outcome.

    Raises Abort at Ctrl-C, InvalidInput and the refusals of the operation.
    """
    settings = settings_of_person(flags)
    refuse_role(settings.role, OPERATION, SHELL)
    with backlog(flags) as database:
        requests = database.read_now(_all_open)
        if (one := _find(requests, feature, question)) is not None:
            _list([one], as_json=False)
        answers = _answers(requests, feature, question, ())
        return _acknowledgement(_perform(database, settings, feature, question, answers))


def settings_of_person(flags: dict[str, Any]) -> Settings:
    """Return the settings of a person, who acts under their own name, not under an agent's."""
    return Settings.read(flags).model_copy(update={"agent": None})


def _all_open(tx: Transaction) -> list[OpenQuestion]:
    from dibs.queries.open_questions import open_questions, open_requests

    return [*open_requests(tx), *open_questions(tx)]


def _perform(
    database: Database, settings: Settings, feature: int | None, question: int | None, answers: dict[str, Any] | None
) -> Answer:
    """Answer a feature's request or a question; without answers, withdraw it. Raises the operation's refusals."""
    session = Session(database, settings, Caller.in_shell(settings), ClaimMemory(), wording=SHELL)
    arguments = {"feature_id": feature, "question_id": question, "answers": answers, "cancel": answers is None}
    return anyio.run(session.perform, OPERATION, checked(AnswerHumanInput, arguments))


def _acknowledgement(done: Answer, *, cancelled: bool = False) -> str:
    wire = done.wire()
    what = f"Question {wire['question_id']}" if "state" in wire else f"Feature {wire['id']}"
    recorded = "The question is withdrawn" if cancelled else "The answer is recorded"
    freed = f" Features that waited for it: {_ids(wire['feature_ids'])}." if wire.get("feature_ids") else ""
    return f"{recorded}. {what} is {wire.get('state') or wire['status']}.{freed}"


def _list(requests: list[OpenQuestion], *, as_json: bool) -> None:
    if as_json:
        print_json([one.wire() for one in requests])
        return
    if not requests:
        click.echo("There are no open questions.")
    for one in requests:
        name = f"{one.feature_id}" if one.feature_id is not None else f"--question {one.question_id}"
        click.echo(f"dibs answer {name}   asked by {one_line(one.asked_by)}")
        if one.prompt:
            click.echo(f"    {one_line(one.prompt)}")
        for field in one.fields:
            options = f" ({', '.join(field['options'])})" if field.get("options") else ""
            click.echo(f"    {one_line(field['id'])}: {one_line(field['label'] + options)}")
        for entry in one.questions:
            labels = ", ".join(option["label"] for option in entry["options"])
            click.echo(f"    {one_line(entry['header'])}: {one_line(entry['question'])} ({one_line(labels)})")
        if one.feature_ids:
            click.echo(f"    Features that wait for it: {_ids(one.feature_ids)}")


def _ids(features: list[int]) -> str:
    return ", ".join(map(str, features))


def _find(requests: list[OpenQuestion], feature: int | None, question: int | None) -> OpenQuestion | None:
    """Return the feature's request, or else the question that it waits for, or the question with that id."""
    named = (one for one in requests if (one.feature_id, one.question_id) == (feature, question))
    return next(named, next((one for one in requests if feature in one.feature_ids), None))


def _answers(
    requests: list[OpenQuestion], feature: int | None, question: int | None, given: tuple[str, ...]
) -> dict[str, Any]:
    """Return the answers from --set or from prompts at the terminal, converted to the types of their fields."""
    one = _find(requests, feature, question)
    fields = {field["id"]: HumanField.model_validate(field) for field in one.fields} if one else {}
    if given:
        pairs = [text.partition("=") for text in given]
        if bad := next((text for text, (_, equals, _) in zip(given, pairs, strict=True) if not equals), None):
            raise InvalidInput(f"--set {bad}: write FIELD=VALUE.", field="set")
        return {name: _typed(fields.get(name), value) for name, _, value in pairs}
    if one is None:
        return {"answer": ""}  # with any answer, the refusal says why there is no question
    answers: dict[str, Any] = {}
    for entry in one.questions:
        labels = [option["label"] for option in entry["options"]]
        answers[entry["header"]] = click.prompt(one_line(f"{entry['question']} ({', '.join(labels)})"))
    for name, field in fields.items():
        kind = click.Choice(field.options) if field.type == "select" else None
        choices = f" ({', '.join(field.options)})" if field.options else ""
        text = click.prompt(
            one_line(field.label + choices),
            type=kind,
            default=None if field.required else "",
            show_default=False,
            show_choices=False,  # click would print them as they are
        )
        if text != "":
            answers[name] = _typed(field, text)
    return answers


def _typed(field: HumanField | None, value: str) -> str | bool:
    if field is None or field.type != "boolean":
        return value
    if value.lower() not in ("true", "yes", "y", "1", "false", "no", "n", "0"):
        raise InvalidInput(f"{field.id}: answer yes or no.", field=f"answers.{field.id}")
    return value.lower() in ("true", "yes", "y", "1")
