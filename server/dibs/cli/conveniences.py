"""Conveniences of commands: parameters in addition to their operation's, and conversions for a shell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import click

from dibs.cli.claim import CLAIM
from dibs.cli.history_text import print_history
from dibs.cli.operation_command import Convenience, Given, Invocation, checked, checked_as
from dibs.cli.options import print_json
from dibs.relative_time import Reader
from dibs_schema.answers import History
from dibs_schema.evidence import EvidenceFields
from dibs_schema.inputs import HumanField, HumanFields, Questions
from dibs_schema.operations import BY_TOOL, AnyOperation
from dibs_schema.refusals import InvalidInput


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise click.BadParameter(f"{name} is not JSON.") from None


def _evidence(operation: AnyOperation, given: Given) -> tuple[AnyOperation, Given]:
    ran, commit = given.pop("ran", ()), given.pop("commit", None)
    if ran or commit is not None:
        evidence = {}
        if "evidence" in given:
            fields = checked(operation.arguments, given).evidence
            assert isinstance(fields, EvidenceFields), "the type converts a string"
            evidence = fields.model_dump(exclude_defaults=True)
        runs = [{"exit_code": status, "command": command} for status, command in ran]
        evidence["commands"] = [*evidence.get("commands", []), *runs]
        given["evidence"] = evidence if commit is None else evidence | {"commit": commit}
    return operation, given


def _fields(operation: AnyOperation, given: Given) -> tuple[AnyOperation, Given]:
    asked: list[Any] = []
    for name, kind in (("field", "text"), ("select", "select"), ("yes_no", "boolean")):
        for text in given.pop(name, ()):
            key, equals, rest = text.partition("=")
            if not equals:
                raise InvalidInput(f"--{name.replace('_', '-')} {text[:60]}: write ID=…", field=name)
            more = {"label": key, "options": rest.split(",")} if kind == "select" else {"label": rest}
            asked.append({"id": key, "type": kind, **more})
    parsed = _json("fields", given["fields"]) if "fields" in given else None
    if parsed is None and not asked:
        return operation, given
    fields: list[HumanField] = [] if parsed is None else checked_as("fields", HumanFields, parsed)
    return operation, given | {"fields": [*(one.model_dump() for one in fields), *asked]}


def _question(operation: AnyOperation, given: Given) -> tuple[AnyOperation, Given]:
    header, options, several = given.pop("header"), given.pop("option", ()), given.pop("multi")
    question = given.pop("question", None)
    if sum(one is not None for one in (question, given.get("questions"), given.get("question_id"))) != 1:
        raise InvalidInput("Give one of QUESTION, --questions and --read.", field="questions")
    if question is not None:
        fields = {"question": question, "header": header, "options": list(options), "multiSelect": several}
        given["questions"] = checked_as("questions", Questions, [fields])
    elif "questions" in given:
        given["questions"] = _json("questions", given["questions"])
    return operation, given


def _features(operation: AnyOperation, given: Given) -> tuple[AnyOperation, Given]:
    """Read features from a file: a JSON list, or an object with the list as `features`."""
    from dibs.transfer.formats.backlog import SourceFile

    path: Path = given["features"]
    try:
        text = SourceFile.open(path, None).text()
    except InvalidInput as refusal:
        raise InvalidInput(f"{path}: {refusal.message}", **refusal.details) from refusal
    content = _json("FEATURES", text)
    features = content["features"] if isinstance(content, dict) and "features" in content else content
    return operation, given | {"features": features}


def _no_paths(operation: AnyOperation, given: Given) -> tuple[AnyOperation, Given]:
    if given.pop("no_paths"):
        given.setdefault("paths", [])
    return operation, given


def _dependencies(operation: AnyOperation, given: Given) -> tuple[AnyOperation, Given]:
    remove, only = given.pop("remove"), given.pop("only")
    ids = list(given.pop("dependency_ids", ()))
    if remove and only:
        raise InvalidInput("Give --remove or --only, not both.", field="remove")
    if only:
        return BY_TOOL["feature_set_dependencies"], given | {"dependency_ids": ids}
    if len(ids) != 1:
        raise InvalidInput("Name one feature to wait for, or several with --only.", field="dependency_ids")
    operation = BY_TOOL["feature_remove_dependency"] if remove else operation
    return operation, given | {"dependency_id": ids[0]}


def _without_utc(operation: AnyOperation, given: Given) -> tuple[AnyOperation, Given]:
    return operation, {name: one for name, one in given.items() if name != "utc"}


def _print_history(invocation: Invocation) -> None:
    answer = anyio.run(invocation.session.perform, invocation.operation, invocation.arguments)
    if invocation.as_json:
        print_json(answer.wire())
    else:
        assert isinstance(answer, History), "the operation's only answer"
        print_history(answer, Reader.present(utc=invocation.given["utc"]))


CONVENIENCES = {
    "add": Convenience(makes=True),
    "ask": Convenience(
        params=(
            click.Option(["--field"], multiple=True, metavar="ID=LABEL", help="A text to ask for; may be repeated."),
            click.Option(
                ["--select"], multiple=True, metavar="ID=ONE,TWO", help="A choice to ask for; may be repeated."
            ),
            click.Option(
                ["--yes-no"], multiple=True, metavar="ID=LABEL", help="A yes or no to ask for; may be repeated."
            ),
            click.Option(["--fields"], metavar="JSON", help="The fields in the JSON form of the tool."),
        ),
        convert=_fields,
    ),
    "ask-user": Convenience(
        params=(
            click.Argument(["question"], required=False),
            click.Option(["--header"], default="Question", show_default=True, help="One or two words that name it."),
            click.Option(["--option"], multiple=True, help="An answer to choose; two to four."),
            click.Option(["--multi"], is_flag=True, help="The user may choose several."),
            click.Option(["--questions"], metavar="JSON", help="Up to four questions in the JSON form of the tool."),
        ),
        convert=_question,
    ),
    "claim": CLAIM,
    "depend": Convenience(
        params=(
            click.Argument(["dependency_ids"], type=int, nargs=-1),
            click.Option(["--remove"], is_flag=True, help="Remove the dependency."),
            click.Option(["--only"], is_flag=True, help="Replace all dependencies by these; without any, remove all."),
        ),
        convert=_dependencies,
        without=("dependency_id",),
    ),
    "history": Convenience(
        params=(click.Option(["--utc"], is_flag=True, help="Show times in UTC instead of the local time zone."),),
        convert=_without_utc,
        run=_print_history,
    ),
    "note": Convenience(settings=("token",)),
    "pass": Convenience(
        params=(
            click.Option(
                ["--ran"],
                type=(int, str),
                multiple=True,
                metavar="STATUS COMMAND",
                help="A command that you ran, and its exit status; may be repeated.",
            ),
            click.Option(["--commit"], help="The commit that contains it."),
        ),
        convert=_evidence,
    ),
    "plan": Convenience(
        params=(click.Argument(["features"], type=click.Path(path_type=Path), default="-"),),
        convert=_features,
        makes=True,
    ),
    "summary": Convenience(
        params=(click.Argument(["feature_ids"], type=int, nargs=-1, required=True),), without=("feature_id",)
    ),
    "update": Convenience(
        params=(click.Option(["--no-paths"], is_flag=True, help="Remove all paths: any other may be built with it."),),
        convert=_no_paths,
    ),
}
"""By the name of the command."""
