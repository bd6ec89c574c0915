"""What single commands offer beyond the parameters of their operations."""

from __future__ import annotations

import json
from typing import IO, Any

import click

from dibs.cli.claim import CLAIM
from dibs.cli.operation_command import Convenience, Given, checked
from dibs_schema.inputs import EvidenceFields, HumanField, HumanFields, Questions
from dibs_schema.operations import BY_TOOL, AnyOperation
from dibs_schema.refusals import InvalidInput

ANSWER_FIELD = "answer"
"""The id of the one field that a person is asked for if the command names none."""


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise click.BadParameter(f"{name} is not JSON.") from None


# -- pass -----------------------------------------------------------------------------------------


def _evidence(operation: AnyOperation, given: Given) -> tuple[AnyOperation, Given]:
    ran, commit = given.pop("ran", ()), given.pop("commit", None)
    if ran or commit is not None:
        evidence = {}
        if "evidence" in given:
            stated = checked(operation.arguments, given).evidence
            assert isinstance(stated, EvidenceFields), "the type converts a text"
            evidence = stated.model_dump(exclude_defaults=True)
        runs = [{"exit_code": status, "command": command} for status, command in ran]
        evidence["commands"] = [*evidence.get("commands", []), *runs]
        given["evidence"] = evidence if commit is None else evidence | {"commit": commit}
    return operation, given


PASS = Convenience(
    params=(
        click.Option(
            ["--ran"],
            type=(int, str),
            multiple=True,
            metavar="STATUS COMMAND",
            help="A command that was run, and its exit status; may be repeated.",
        ),
        click.Option(["--commit"], help="The commit that contains it."),
    ),
    convert=_evidence,
)

# -- ask, ask-user --------------------------------------------------------------------------------


def _fields(operation: AnyOperation, given: Given) -> tuple[AnyOperation, Given]:
    """Everything that is asked for, by whichever option."""
    asked: list[Any] = []
    for name, kind in (("field", "text"), ("select", "select"), ("yes_no", "boolean")):
        for text in given.pop(name, ()):
            key, equals, rest = text.partition("=")
            if not equals:
                raise InvalidInput(f"--{name.replace('_', '-')} {text[:60]}: write ID=…", field=name)
            more = {"label": key, "options": rest.split(",")} if kind == "select" else {"label": rest}
            asked.append({"id": key, "type": kind, **more})
    stated = _json("fields", given.pop("fields")) if "fields" in given else None
    if stated is None and not asked:
        asked.append({"id": ANSWER_FIELD, "label": "Answer", "type": "textarea"})
    fields: list[HumanField] = checked(HumanFields, stated) if stated is not None else []
    return operation, given | {"fields": [*(one.model_dump() for one in fields), *asked]}


ASK = Convenience(
    params=(
        click.Option(["--field"], multiple=True, metavar="ID=LABEL", help="A text to ask for; may be repeated."),
        click.Option(["--select"], multiple=True, metavar="ID=ONE,TWO", help="A choice to ask for; may be repeated."),
        click.Option(["--yes-no"], multiple=True, metavar="ID=LABEL", help="A yes or no to ask for; may be repeated."),
        click.Option(["--fields"], metavar="JSON", help="All the fields, as the tool takes them."),
    ),
    convert=_fields,
)


def _question(operation: AnyOperation, given: Given) -> tuple[AnyOperation, Given]:
    header, options, several = given.pop("header"), given.pop("option", ()), given.pop("multi")
    question = given.pop("question", None)
    if sum(one is not None for one in (question, given.get("questions"), given.get("question_id"))) != 1:
        raise InvalidInput("Give one of QUESTION, --questions and --read.", field="questions")
    if question is not None:
        stated = {"question": question, "header": header, "options": list(options), "multiSelect": several}
        given["questions"] = checked(Questions, [stated])
    elif "questions" in given:
        given["questions"] = _json("questions", given["questions"])
    return operation, given


ASK_USER = Convenience(
    params=(
        click.Argument(["question"], required=False),
        click.Option(["--header"], default="Question", show_default=True, help="One or two words that name it."),
        click.Option(["--option"], multiple=True, help="An answer to choose; two to four."),
        click.Option(["--multi"], is_flag=True, help="The user may choose several."),
        click.Option(["--questions"], metavar="JSON", help="Up to four questions, as the tool takes them."),
    ),
    convert=_question,
)

# -- plan, update, depend, summary ----------------------------------------------------------------


def _features(operation: AnyOperation, given: Given) -> tuple[AnyOperation, Given]:
    """The features in a file: a JSON list, or an object with one under `features`."""
    file: IO[str] = given["features"]
    found = _json("FEATURES", file.read())
    features = found["features"] if isinstance(found, dict) and "features" in found else found
    return operation, given | {"features": features}


PLAN = Convenience(
    params=(click.Argument(["features"], type=click.File(encoding="utf-8"), default="-"),),
    convert=_features,
    makes=True,
)


def _no_paths(operation: AnyOperation, given: Given) -> tuple[AnyOperation, Given]:
    if given.pop("no_paths"):
        given.setdefault("paths", [])
    return operation, given


UPDATE = Convenience(
    params=(click.Option(["--no-paths"], is_flag=True, help="It may be built at the same time as any other."),),
    convert=_no_paths,
)


def _dependencies(operation: AnyOperation, given: Given) -> tuple[AnyOperation, Given]:
    remove, only = given.pop("remove"), given.pop("only")
    ids = list(given.pop("dependency_ids", ()))
    if remove and only:
        raise InvalidInput("Give --remove or --only, not both.", field="remove")
    if only:
        return BY_TOOL["feature_set_dependencies"], given | {"dependency_ids": ids}
    if len(ids) != 1:
        raise InvalidInput("Name one feature to wait for, or several with --only.", field="dependency_ids")
    meant = BY_TOOL["feature_remove_dependency"] if remove else operation
    return meant, given | {"dependency_id": ids[0]}


DEPEND = Convenience(
    params=(
        click.Argument(["dependency_ids"], type=int, nargs=-1),
        click.Option(["--remove"], is_flag=True, help="Let it no longer wait for that one."),
        click.Option(["--only"], is_flag=True, help="Let it wait for these and no others; with none, for nothing."),
    ),
    convert=_dependencies,
    without=("dependency_id",),
)

SUMMARY = Convenience(
    params=(click.Argument(["feature_ids"], type=int, nargs=-1, required=True),), without=("feature_id",)
)

NO_CONVENIENCE = Convenience()

CONVENIENCES = {
    "add": Convenience(makes=True),
    "ask": ASK,
    "ask-user": ASK_USER,
    "claim": CLAIM,
    "depend": DEPEND,
    "note": Convenience(settings=("token",)),
    "pass": PASS,
    "plan": PLAN,
    "summary": SUMMARY,
    "update": UPDATE,
}
"""By the name of the command."""
