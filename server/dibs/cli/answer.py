"""`dibs answer`: what agents ask a person."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

import click

from dibs.cli.options import backlog, looks_at_backlog, print_json, settings_options
from dibs.cli.spelling import refuse_role
from dibs.settings import Settings
from dibs_schema.inputs import GREATEST_ID, HumanField
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs_schema.answers import OpenQuestion


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
    if feature_id is not None and question is not None:
        raise InvalidInput("Name either a feature or --question.", field="question")
    if feature_id is not None or question is not None:
        refuse_role(Settings.read({"role": role}).role, "feature_answer_human_input")
    with backlog(flags) as database:
        asked = _open(database)
        if feature_id is None and question is None:
            _list(asked, as_json=as_json)
            return
        answers = None if cancel else _answers(asked, feature_id, question, given)
        done = _reply(database, feature_id, question, answers)
    if as_json:
        print_json(done)
    else:
        what = f"Feature {feature_id}" if feature_id is not None else f"Question {question}"
        click.echo(f"{what}: {done.get('state') or done['status']}.")


def _open(database: Database) -> list[OpenQuestion]:
    from dibs.verbs.ask_person import open_requests
    from dibs.verbs.ask_user import open_questions

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
        return {}  # the verb says what is the matter
    answers: dict[str, Any] = {}
    for entry in one.questions:
        labels = [option["label"] for option in entry["options"]]
        answers[entry["header"]] = click.prompt(f"{entry['question']} ({', '.join(labels)})")
    for name, field in fields.items():
        kind = click.Choice(field.options) if field.type == "select" else None
        text = click.prompt(
            field.label, type=kind, default=None if field.required else "", show_default=False
        )
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


def _reply(
    database: Database, feature: int | None, question: int | None, answers: dict[str, Any] | None
) -> dict[str, Any]:
    from dibs.verbs import ask_person
    from dibs.verbs import ask_user as questions

    by = getpass.getuser()
    if feature is not None:
        return database.write_now(
            lambda tx: (
                ask_person.cancel_request(tx, by, feature)
                if answers is None
                else ask_person.answer_feature(tx, by, feature, answers)
            )
        ).wire()
    assert question is not None, "one of the two is named"
    return database.write_now(
        lambda tx: (
            questions.cancel_question(tx, by, question)
            if answers is None
            else questions.answer_question(tx, by, question, answers)
        )
    ).wire()
