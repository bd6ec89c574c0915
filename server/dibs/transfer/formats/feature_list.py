"""Maps the features of a file, as public projects write them, to entries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from dibs.transfer.formats import human_input
from dibs.transfer.formats import vocabulary as words
from dibs.transfer.formats.assemble import assemble
from dibs.transfer.formats.backlog import (
    CATEGORY_LENGTH,
    NAME_LENGTH,
    PRIORITY_LIMIT,
    Backlog,
    ReadOptions,
    Report,
)
from dibs.transfer.formats.dependency_fields import read_dependencies
from dibs.transfer.formats.entry import Entry
from dibs.transfer.formats.fields import FeatureFields, RawFeature, SourceField, any_text, one_line, shown, text
from dibs.transfer.formats.status import read_status
from dibs.transfer.formats.steps import read_steps
from dibs.transfer.formats.vocabulary import snake
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status

_WHOLE_NUMBER: Final = re.compile(r"([+-]?\d{1,12})(?:\.0*)?", re.ASCII)
_DIGITS: Final = re.compile(r"[+-]?\d+", re.ASCII)


def read(
    name: str, raw: Sequence[RawFeature], report: Report, options: ReadOptions, *, source: str | None = None
) -> Backlog:
    """Return the features as a backlog of the format called `name`; their order in the file is the queue order.

    `source` is what their ids belong to, if the file says so. Raises InvalidInput if any feature cannot be imported.
    """
    features = [FeatureFields(one, report) for one in raw]
    entries = [_entry(fields, report, options) for fields in features]
    read_dependencies(features, entries, report)
    _default_priorities(features, entries, report)
    for fields in features:
        fields.report_unmapped()
    return assemble(name, entries, report, options, source=source)


def _entry(fields: FeatureFields, report: Report, options: ReadOptions) -> Entry:
    if fields.empty:
        raise InvalidInput(f"{fields.path} is empty; a feature has at least a name.", field=fields.path)
    entry = Entry(path=fields.path, reference=fields.take("reference", words.IDS, _id))
    _read_texts(entry, fields)
    _read_category(entry, fields, report)
    entry.steps = read_steps(fields, report)
    entry.priority = fields.take("priority", words.PRIORITIES, lambda field: _priority(field, report, options))
    read_status(entry, fields, report, options)
    entry.paths = [path for batch in fields.take_all("paths", words.PATHS, _paths) for path in batch]
    entry.notes = [note for batch in fields.take_all("notes", words.NOTES, _notes) for note in batch]
    entry.evidence = (
        "\n".join(filter(None, (fields.take("evidence", words.EVIDENCE, any_text), entry.evidence))) or None
    )
    reasons = fields.take("last failure", words.FAILURES, any_text), entry.last_failure
    entry.last_failure = "\n".join(filter(None, reasons)) or None
    _read_human_input(entry, fields, report)
    return entry


def _id(field: SourceField) -> str:
    found = None if isinstance(field.value, list) else one_line(field.value)
    if found is None:
        raise InvalidInput(f"{field.path} is not an id; write a number or a string there.", field=field.path)
    return found


def _read_texts(entry: Entry, fields: FeatureFields) -> None:
    """Read the name and the description; a feature of a file may have only one of them."""
    entry.name = fields.take("name", words.NAMES, _line)
    entry.name = entry.name or fields.take("name", words.SPARE_NAMES, lambda field: _if_short(field, NAME_LENGTH))
    description = fields.take("description", words.DESCRIPTIONS, _text)
    details = fields.take("description", words.DETAILS, _text)
    if not entry.name and not description and not details:
        entry.name = fields.take("name", ("feature",), lambda field: _if_short(field, NAME_LENGTH))
    entry.description = "\n\n".join(filter(None, (description, details))) or None


def _read_category(entry: Entry, fields: FeatureFields, report: Report) -> None:
    """Read the category, else use the name of the group around the feature; and the phase, which orders the queue."""
    entry.category = fields.take("category", words.CATEGORIES, _line)
    entry.category = entry.category or fields.take(
        "category", words.SPARE_CATEGORIES, lambda field: _if_short(field, CATEGORY_LENGTH)
    )
    phase = fields.take("phase", words.PHASES, _line) or one_line(fields.get("phase"))
    entry.phase = phase or fields.phase
    if not entry.category and (group := one_line(fields.group)):
        report.mapped("the group around it", "category")
        entry.category = group


def _line(field: SourceField) -> str | None:
    return one_line(field.value)


def _text(field: SourceField) -> str | None:
    return text(field.value)


def _if_short(field: SourceField, limit: int) -> str | None:
    """Return the text of a field that replaces a missing one, if it is short enough."""
    found = one_line(field.value)
    return found if found and len(found) <= limit else None


def _default_priorities(features: Sequence[FeatureFields], entries: Sequence[Entry], report: Report) -> None:
    """Set missing priorities: medium in a file whose priorities are words, else the position in the file."""
    worded = any(snake(str(one.get("priority"))) in words.PRIORITY_WORDS for one in features)
    for entry in (entry for entry in entries if entry.priority is None):
        report.mapped("no priority", f"{words.MEDIUM}, medium" if worded else "position in the file")
        if worded:
            entry.priority = words.MEDIUM


def _priority(field: SourceField, report: Report, options: ReadOptions) -> int | None:
    word = one_line(field.value) or ""
    number = words.PRIORITY_WORDS.get(snake(word))
    if number is not None:
        report.mapped(f"priority '{shown(word)}'", str(number))
        return number
    whole = _WHOLE_NUMBER.fullmatch(word)
    if _DIGITS.fullmatch(word) and (whole is None or abs(int(whole[1])) > PRIORITY_LIMIT):
        raise InvalidInput(f"{field.path} is beyond {PRIORITY_LIMIT:,}; use smaller numbers.", field=field.path)
    if whole is None:
        report.ignored(f"priority '{shown(word)}', which is neither a whole number nor a known word")
        return None
    return -int(whole[1]) if options.highest_first else int(whole[1])


def _paths(field: SourceField) -> list[str] | None:
    """Return paths, also from objects with a `path`, or None if one of them is neither."""
    given = field.value if isinstance(field.value, list) else [field.value]
    paths = [one_line(one.get("path") or one.get("file") if isinstance(one, dict) else one) for one in given]
    return [path for path in paths if path] if all(paths) else None


def _notes(field: SourceField) -> list[str] | None:
    given = field.value if isinstance(field.value, list) else [field.value]
    return [note for one in given if (note := any_text(SourceField(field.name, field.path, one)))] or None


def _read_human_input(entry: Entry, fields: FeatureFields, report: Report) -> None:
    """Read the request that waits for an answer, or the answer that no agent has read yet."""
    if entry.status is Status.PENDING and not entry.blocked:
        entry.human_answer = fields.take("answer of a person", words.ANSWERS, human_input.read_answer)
    if entry.status is Status.NEEDS_HUMAN or entry.human_answer is not None:
        entry.human_request = fields.take(
            "request to a person", words.REQUESTS, lambda field: human_input.read_request(field, report)
        )
