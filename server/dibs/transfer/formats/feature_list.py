"""Entries of a feature list, as public projects write them, to features."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dibs.transfer.formats import dependencies, person_input, titles
from dibs.transfer.formats.backlog import (
    DESCRIPTION_LENGTH,
    PRIORITY_LIMIT,
    REFERENCE_LENGTH,
    Backlog,
    ImportedFeature,
    Report,
    within,
)
from dibs.transfer.formats.fields import Cell, Row, one_line, record, shown
from dibs.transfer.formats.locate import Entry
from dibs.transfer.formats.state import State, settle, state
from dibs.transfer.formats.steps import steps
from dibs.transfer.formats.vocabulary import (
    ANSWERS,
    EVIDENCE,
    FAILURES,
    IDS,
    MEDIUM,
    PATHS,
    PRIORITY_WORDS,
    REQUESTS,
    snake,
)
from dibs_schema.file_areas import MOST_PATHS, path_of, paths_of
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status

_WHOLE = re.compile(r"([+-]?\d{1,12})(?:\.0*)?", re.ASCII)
_ENDLESS = re.compile(r"[+-]?\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Place:
    """What a feature has from its place among the others."""

    reference: str
    dependencies: list[str]
    state: State
    priority: int


def read(source: str, entries: Sequence[Entry], report: Report, *, drop_unknown: bool = False) -> Backlog:
    """Return the backlog that the entries are, or refuse it whole; order in the file is queue order.

    `drop_unknown` leaves out dependencies on features that are gone, where the format is known to keep such.
    """
    rows = [Row(entry.path, entry.value, report) for entry in entries]
    references = _references(rows)
    written = [dependencies.edges(row, references) for row in rows]
    depends = dependencies.resolve(references, written, report, drop_unknown=drop_unknown)
    states = settle([state(row, report) for row in rows], references, depends, report)
    places = map(_Place, references, depends, states, _priorities(rows, report))
    features = [
        _feature(row, entry.group, place, report)
        for row, entry, place in zip(rows, entries, places, strict=True)
    ]
    return report.backlog(source, features)


def _feature(row: Row, group: str | None, place: _Place, report: Report) -> ImportedFeature:
    name, description = titles.name_and_description(row, place.reference, report)
    feature = ImportedFeature(
        path=row.path,
        reference=place.reference,
        category=titles.category(row, group, report),
        name=name,
        description=description,
        steps=steps(row, report),
        priority=place.priority,
        status=place.state.status,
        archived_from=place.state.archived_from,
        dependencies=place.dependencies,
        paths=row.take("paths", PATHS, _paths) or [],
        evidence=row.take("evidence", EVIDENCE, _record),
        last_failure=row.take("last failure", FAILURES, _record),
    )
    feature = _with_human(feature, row, report)
    row.tell_rest()
    return feature


def _paths(cell: Cell) -> list[str] | None:
    given = cell.value if isinstance(cell.value, list) else [cell.value]
    if not all(isinstance(one, str) for one in given):
        return None
    if len(given) > MOST_PATHS:
        raise InvalidInput(f"{cell.path} has more than {MOST_PATHS} entries.", field=cell.path)
    try:
        return paths_of([path_of(one) for one in given])
    except ValueError as error:
        raise InvalidInput(f"{cell.path}: {error}.", field=cell.path) from None


def _record(cell: Cell) -> str | None:
    found = record(cell)
    return within(found, DESCRIPTION_LENGTH, cell.path) if found else None


def _with_human(feature: ImportedFeature, row: Row, report: Report) -> ImportedFeature:
    """Add the question that waits for an answer, or the answer that waits for a worker, with its question."""
    waiting = feature.status is Status.NEEDS_HUMAN
    pending = feature.status is Status.PENDING
    answer = row.take("answer of a person", ANSWERS, person_input.answer) if pending else None
    if not waiting and answer is None:
        return feature
    request = row.take("request to a person", REQUESTS, lambda cell: person_input.request(cell, report))
    if waiting and request is None:
        request = person_input.unasked(feature.name)
    return replace(feature, human_request=request, human_answer=answer)


def _references(rows: Sequence[Row]) -> list[str]:
    """Each row's own id, or its position where it has none; no two the same."""
    own = [row.take("reference", IDS, _reference) for row in rows]
    taken = set(own)
    found: dict[str, str] = {}
    for position, (row, reference) in enumerate(zip(rows, own, strict=True), start=1):
        mine = reference or (f"#{position}" if str(position) in taken else str(position))
        if mine in found:
            where = f"{row.path}.id"
            message = (
                f"{where} is {shown(mine)!r}, which {found[mine]} has already; give it an id of its own."
            )
            raise InvalidInput(message, field=where, id=shown(mine))
        found[mine] = row.path
    return list(found)


def _reference(cell: Cell) -> str:
    found = None if isinstance(cell.value, list) else one_line(cell.value)
    if found is None:
        raise InvalidInput(f"{cell.path} is no id; write a number or a text there.", field=cell.path)
    return within(found, REFERENCE_LENGTH, cell.path)


def _priorities(rows: Sequence[Row], report: Report) -> list[int]:
    """Each row's own priority; without one, medium where the file uses words, else its position."""
    words = any(snake(str(row.get("priority"))) in PRIORITY_WORDS for row in rows)
    found = []
    for position, row in enumerate(rows, start=1):
        own = row.take("priority", ("priority",), lambda cell: _priority(cell, report))
        if own is None:
            report.mapped("no priority", f"{MEDIUM}, medium" if words else "position in the file")
            own = MEDIUM if words else position
        found.append(own)
    return found


def _priority(cell: Cell, report: Report) -> int | None:
    word = one_line(cell.value) or ""
    number = PRIORITY_WORDS.get(snake(word))
    if number is not None:
        report.mapped(f"priority '{shown(word)}'", str(number))
        return number
    whole = _WHOLE.fullmatch(word)
    if _ENDLESS.fullmatch(word) and (whole is None or abs(int(whole[1])) > PRIORITY_LIMIT):
        raise InvalidInput(f"{cell.path} is beyond {PRIORITY_LIMIT:,}; use smaller numbers.", field=cell.path)
    if whole is None:
        report.ignored(f"priority '{shown(word)}', which is neither a whole number nor a known word")
        return None
    return int(whole[1])
