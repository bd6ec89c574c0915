"""Reads the exports of Dibs. Unlike other tools' lists they are read literally: nothing has to be guessed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dibs.transfer.formats.assemble import assemble
from dibs.transfer.formats.backlog import Backlog, Report, SourceFile
from dibs.transfer.formats.beads_export import read_issue
from dibs.transfer.formats.checklist_export import read_checklist
from dibs.transfer.formats.entry import Dependency, Entry
from dibs.transfer.formats.exported import FIELDS, MARK, Header, is_export
from dibs.transfer.formats.fields import shown
from dibs.transfer.formats.json_export import read_feature, split_texts
from dibs.transfer.formats.json_text import Lines, parse
from dibs_schema.evidence import CommandRun
from dibs_schema.inputs import CLEAN, GREATEST_ID, HumanFields, Reply
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status
from dibs_schema.validation import first_problem, path_of

Text = Annotated[str, CLEAN]
Id = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]


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
    notes: Annotated[list[Text], BeforeValidator(split_texts)] = []
    human_request: _Request | None = None
    human_answer: Annotated[_Answer | dict[str, Reply], Field(union_mode="left_to_right")] | None = None
    archived_from: Status | None = None
    priority: Annotated[int, Field(strict=True, ge=-GREATEST_ID, le=GREATEST_ID)] | None = None
    status: Status | None = None
    passes: bool = False


def recognizes(file: SourceFile) -> bool:
    """Check for the mark at the beginning of an export."""
    return is_export(file.content)


def read(file: SourceFile) -> Backlog:
    """Return the backlog of an export. Raises InvalidInput."""
    report = Report()
    header, given = _features_in(file.text())
    found = [(path, _feature(path, fields, report)) for path, fields in given]
    backlog = assemble("export of Dibs", [_entry(path, one, report) for path, one in found], report, file.options)
    evidence = [one.evidence.model_dump(exclude_defaults=True) if one.evidence else None for _, one in found]
    features = [replace(one, evidence=proof) for one, proof in zip(backlog.features, evidence, strict=True)]
    return replace(backlog, features=features, source=header.source, project=header.backlog)


def _features_in(text: str) -> tuple[Header, Iterator[tuple[str, Any]]]:
    """Return the header, and the place and the fields of each feature, whatever the format."""
    if text.lstrip().startswith("<!--"):
        mark = text.partition("{")[2].partition("}")[0]
        return Header.read(parse(f"{{{mark}}}")), read_checklist(text)
    document = parse(text)
    if isinstance(document, Lines):
        (_, first), *issues = document
        return Header.read(first.get(MARK)), ((f"line {line}", read_issue(one)) for line, one in issues)
    header = Header.read(document[MARK])
    key = next((key for key in ("features", "userStories") if isinstance(document.get(key), list)), None)
    if key is None and "_schema" not in document:
        raise InvalidInput("it begins as an export of Dibs, but has no list of features.")
    listed = enumerate(document[key]) if key is not None else ()
    return header, ((f"{key}[{place}]", read_feature(key or "", one)) for place, one in listed)


def _feature(path: str, fields: Any, report: Report) -> _Feature:
    try:
        found = _Feature.model_validate(fields)
    except ValidationError as error:
        place, _, message = first_problem(error)
        field = f"{path}.{path_of(place)}" if place else path
        raise InvalidInput(f"{field}: {message}.", field=field) from None
    for key in fields:
        if key not in FIELDS:
            report.ignored(shown(key))
    return found


def _entry(path: str, one: _Feature, report: Report) -> Entry:
    status = _status(one, report)
    dependencies = [Dependency(other, f"{path}.dependencies[{place}]") for place, other in enumerate(one.dependencies)]
    return Entry(
        path=path,
        reference=one.id,
        name=one.name,
        description=one.description,
        steps=[step for step in one.steps if step],
        category=one.category,
        priority=one.priority,
        status=status,
        archived_from=_archived_from(one, status),
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
    """Return the status. `passes` alone implies it, or must not contradict it. No feature in a file is claimed."""
    said = Status.PASSING if one.passes else Status.PENDING
    if one.status in (None, said):
        return said
    if one.status is Status.IN_PROGRESS:
        return Status.PENDING
    if one.status is Status.PASSING or (one.passes and one.status is not Status.ARCHIVED):
        report.ignored(f"status '{one.status}', which passes {str(one.passes).lower()} contradicts: pending")
        return Status.PENDING
    return one.status


def _archived_from(one: _Feature, status: Status) -> Status | None:
    if status is not Status.ARCHIVED:
        return None
    fits = one.archived_from in (Status.NEEDS_HUMAN, Status.STUCK) and not one.passes
    return one.archived_from if fits else Status.PASSING if one.passes else Status.PENDING
