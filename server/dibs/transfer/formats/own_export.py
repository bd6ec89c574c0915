"""Reads the exports of Dibs in JSON. Unlike the lists of others they are read by the letter: nothing has to be guessed."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dibs.transfer.formats.assemble import assemble
from dibs.transfer.formats.backlog import Backlog, Report, SourceFile
from dibs.transfer.formats.entry import Dependency, Entry
from dibs.transfer.formats.exported import FIELDS, MARK, Header, is_json_export
from dibs.transfer.formats.fields import shown
from dibs.transfer.formats.json_text import parse
from dibs.transfer.formats.json_writer import PRD_KEYS, split_notes
from dibs_schema.inputs import CLEAN, CommandRun, HumanFields, Reply
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status
from dibs_schema.validation import first_problem, path_of

Text = Annotated[str, CLEAN]
Id = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
_FIELD_OF: Final = {key: field for field, key in PRD_KEYS.items()}


class _Evidence(BaseModel):
    model_config = ConfigDict(extra="forbid")

    summary: Text | None = None
    commands: list[CommandRun] = []
    commit: Text | None = None


class _Request(BaseModel):
    prompt: Text
    fields: HumanFields


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    answers: dict[str, Reply]
    by: Text | None = None
    prompt: Text | None = None


class _Feature(BaseModel):
    """A feature by FIELDS. People may add entries: only a name is necessary."""

    id: Id | None = None
    category: Text | None = None
    name: Text
    description: Text | None = None
    steps: list[Text] = []
    dependencies: list[Id] = []
    paths: list[str] = []
    evidence: _Evidence | None = None
    last_failure: Text | None = None
    notes: Annotated[
        list[Text], BeforeValidator(lambda value: split_notes(value) if isinstance(value, str) else value)
    ] = []
    human_request: _Request | None = None
    human_answer: Annotated[_Answer | dict[str, Reply], Field(union_mode="left_to_right")] | None = None
    archived_from: Status | None = None
    priority: Annotated[int, Field(strict=True)] | None = None
    status: Status | None = None
    passes: bool = False


def recognizes(file: SourceFile) -> bool:
    """Check for the mark at the beginning of an export."""
    return is_json_export(file.content)


def read(file: SourceFile) -> Backlog:
    """Return the backlog of an export. Raises InvalidInput."""
    report = Report()
    document = parse(file.text())
    header = Header.read(document[MARK])
    key = next((key for key in ("features", "userStories") if isinstance(document.get(key), list)), None)
    if key is None:
        raise InvalidInput("it begins as an export of Dibs, but has no list of features.")
    found = [_feature(value, f"{key}[{place}]", report) for place, value in enumerate(document[key])]
    backlog = assemble("export of Dibs", [_entry(one, path, report) for one, path in found], report, file.options)
    evidence = [one.evidence.model_dump(exclude_defaults=True) if one.evidence else None for one, _ in found]
    features = [replace(one, evidence=proof) for one, proof in zip(backlog.features, evidence, strict=True)]
    return replace(backlog, features=features, source=header.source, project=header.backlog)


def _feature(value: Any, path: str, report: Report) -> tuple[_Feature, str]:
    """Return a feature of the file, and its place."""
    given = {_FIELD_OF.get(key, key): one for key, one in value.items()} if isinstance(value, dict) else value
    try:
        found = _Feature.model_validate(given)
    except ValidationError as error:
        place, _, message = first_problem(error)
        field = f"{path}.{path_of(place)}" if place else path
        raise InvalidInput(f"{field}: {message}.", field=field) from None
    for key in given:
        if key not in FIELDS:
            report.ignored(shown(key))
    return found, path


def _entry(one: _Feature, path: str, report: Report) -> Entry:
    dependencies = [Dependency(other, f"{path}.dependencies[{place}]") for place, other in enumerate(one.dependencies)]
    return Entry(
        path=path,
        reference=one.id,
        name=one.name,
        description=one.description,
        steps=[step for step in one.steps if step],
        category=one.category,
        priority=one.priority,
        status=_status(one, report),
        archived_from=one.archived_from,
        dependencies=dependencies,
        paths=one.paths,
        notes=one.notes,
        last_failure=one.last_failure,
        human_request=_dumped(one.human_request),
        human_answer=_dumped(one.human_answer),
    )


def _dumped(value: BaseModel | dict[str, Any] | None) -> dict[str, Any] | None:
    return value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value


def _status(one: _Feature, report: Report) -> Status:
    """Return the status, which `passes` says alone, or must not contradict."""
    said = Status.PASSING if one.passes else Status.PENDING
    if one.status is None or one.status is said:
        return said
    if one.status is Status.PASSING or (one.passes and one.archived_from is None):
        report.ignored(f"status '{one.status}', which passes {str(one.passes).lower()} contradicts: pending")
        return Status.PENDING
    return one.status
