"""Records: the fields that one tool writes for one entry, as a table.

A field of a record is named for the field of `Entry` that it becomes, and its alias is the tool's name for it. The
description of any other field says what the field becomes. Fields that a record does not have become text.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from dibs.transfer.formats import vocabulary as words
from dibs.transfer.formats.assemble import assemble
from dibs.transfer.formats.backlog import Backlog, ReadOptions, Report
from dibs.transfer.formats.entry import Dependency, Entry
from dibs.transfer.formats.fields import SourceField, any_text, one_line, shown, text
from dibs.transfer.formats.paths import usable_paths
from dibs.transfer.formats.status import status_word
from dibs_schema.lenient_input import is_empty
from dibs_schema.refusals import InvalidInput
from dibs_schema.sanitize import clean
from dibs_schema.status import Status

OWN_TIMES: Final = "Dibs keeps times of its own"
AGENTS: Final = "an agent claims a feature here"
ABOUT_THE_FILE: Final = "it is about the file"
"""Why a field is left out."""

ID_FIELDS: Final = ("id", "number", "taskId")
"""The fields by which an object names another entry."""

_BULLET: Final = re.compile(r"^\s*(?:(?:[-*+•]|\d{1,3}[.)])\s+)?(?:\[.?\]\s+)?(?:#\d+\s+)?")
_TARGETS: Final = frozenset(one.name for one in dataclasses.fields(Entry))


def split_steps(value: Any) -> list[str]:
    """Return the lines of a text, or the strings of a list, without bullets and boxes. Raises ValueError."""
    lines = [line for one in strings(value) for line in one.split("\n")] if isinstance(value, str) else strings(value)
    return [step for line in lines if (step := _BULLET.sub("", line).strip())]


def strings(value: Any) -> list[str]:
    """Return the clean texts of a list, or of one value. Raises ValueError if one is neither a string nor a number."""
    given = value if isinstance(value, list) else [value]
    found = [text(one) for one in given if not is_empty(one)]
    if None in found:
        raise ValueError("strings")
    return [one for one in found if one]


def _text(value: Any) -> str | None:
    return "\n".join(strings(value)) or None


def _line(value: Any) -> str | None:
    return " ".join(" ".join(strings(value)).split()) or None


def _priority(value: Any) -> int | None:
    word = one_line(value) or ""
    number = words.PRIORITY_WORDS.get(words.snake(word))
    if number is None and re.fullmatch(r"[+-]?\d{1,9}", word, re.ASCII):
        number = int(word)
    return number


def _references(value: Any) -> list[str]:
    """Return ids from a list of ids, or of objects with an id."""
    given = value if isinstance(value, list) else [value]
    return strings(
        [next(map(one.get, filter(one.get, ID_FIELDS)), one) if isinstance(one, dict) else one for one in given]
    )


Text = Annotated[str | None, BeforeValidator(_text)]
Line = Annotated[str | None, BeforeValidator(_line)]
Texts = Annotated[list[str], BeforeValidator(strings)]
Steps = Annotated[list[str], BeforeValidator(split_steps)]
References = Annotated[list[str], BeforeValidator(_references)]
Priority = Annotated[int | None, BeforeValidator(_priority)]


class Record(BaseModel):
    """What a tool writes for one entry.

    `STATUSES` has the tool's own status words, in snake case; other words have their common meaning. `LEFT_OUT` has the
    fields that are left out, and why.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    STATUSES: ClassVar[Mapping[str, Status]] = {}
    LEFT_OUT: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def of(cls, value: Any, path: str) -> Self:
        """Return the record in a value of the file. Raises InvalidInput with its place."""
        if not isinstance(value, dict):
            raise InvalidInput(f"{path} is not an object.", field=path)
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            place = ".".join([path, *(shown(str(part)) for part in error.errors()[0]["loc"])])
            raise InvalidInput(f"{place} has the wrong type for this format.", field=place) from None

    def entry(self, path: str, report: Report, options: ReadOptions) -> Entry:
        """Return the entry at `path` of the file, and report each field that has a value."""
        entry = Entry(path=path)
        for name, info in type(self).model_fields.items():
            value, source = getattr(self, name), info.alias or name
            if name not in _TARGETS or is_empty(value):
                continue
            if name == "status":
                set_status(entry, value, self.STATUSES, report, options)
            elif name == "dependencies":
                entry.dependencies = [Dependency(one, f"{path}.{source}") for one in value]
            elif name == "paths":
                entry.paths = usable_paths(value, report)
            else:
                setattr(entry, name, value)
            report.mapped(source, name)
        for key, value in (self.model_extra or {}).items():
            self._rest(entry, key, value, report)
        return entry

    def _rest(self, entry: Entry, key: str, value: Any, report: Report) -> None:
        """Report a field that the record does not have: left out for a reason, or text."""
        if is_empty(value) or value is False:
            return
        name = shown(key).removeprefix("## ")
        if key in self.LEFT_OUT:
            report.ignored(f"{name}: {self.LEFT_OUT[key]}")
        elif found := any_text(SourceField(name, f"{entry.path}.{name}", value)):
            add_text(entry, name, found, report)


def add_text(entry: Entry, title: str, found: str, report: Report) -> None:
    """Add a text that has no field of its own to the end of the description, and report it."""
    entry.texts.append((title, clean(found)))
    report.as_text(title)


def set_status(entry: Entry, word: str, own: Mapping[str, Status], report: Report, options: ReadOptions) -> None:
    """Set an entry's status from a word, by the tool's, the user's or the common meaning; without one it is pending."""
    status, entry.blocked = own.get(words.snake(word)), False
    if status is None and (found := status_word(word, options.statuses)):
        status, entry.blocked = found.status, found.blocked
    if status is None:
        report.unknown(f"status '{shown(word)}'")
        return
    entry.status = status
    if status is Status.ARCHIVED:
        entry.archived_from = Status.PENDING
    report.mapped(f"status '{shown(word)}'", "blocked" if entry.blocked else status)


def assemble_records(
    name: str, entries: Sequence[Entry], report: Report, options: ReadOptions, *, source: str | None = None
) -> Backlog:
    """Return the backlog of a file as `assemble` does. If some entries have a priority, the others are medium."""
    if any(entry.priority is not None for entry in entries):
        for entry in (one for one in entries if one.priority is None):
            entry.priority = words.MEDIUM
            report.mapped("no priority", f"{words.MEDIUM}, medium")
    return assemble(name, entries, report, options, source=source)


def add_dependents(entries: Sequence[Entry], blocks: Iterable[Iterable[str]], report: Report) -> None:
    """Make the entries that an entry blocks depend on it; `blocks` has their references for each entry."""
    by_reference = {entry.reference: entry for entry in entries}
    for entry, blocked in zip(entries, blocks, strict=True):
        for reference in blocked:
            other = by_reference.get(reference)
            if other is None or entry.reference is None:
                report.ignored("what blocks an entry that is not in the file")
            elif all(one.reference != entry.reference for one in other.dependencies):
                other.dependencies.append(Dependency(entry.reference, entry.path))
                report.mapped("what an entry blocks", "dependencies")
