"""The fields of one feature in the file: their names, their values, and which of them have been mapped."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from dibs.transfer.formats.backlog import Report
from dibs.transfer.formats.vocabulary import BOOLEANS, snake
from dibs_schema.lenient_input import is_empty
from dibs_schema.refusals import InvalidInput
from dibs_schema.sanitize import clean

T = TypeVar("T")
LONGEST_SHOWN = 60
"""The number of characters of a value that a message shows."""


@dataclass(frozen=True, slots=True)
class RawFeature:
    """One feature as it is in the file: its path there, its fields, and the name of the group around it.

    `phase` is the name of a group that comes before or after others.
    """

    path: str
    fields: dict[str, Any]
    group: str | None = None
    phase: str | None = None


@dataclass(frozen=True, slots=True)
class SourceField:
    """One field: its name and path in the file, and its value."""

    name: str
    path: str
    value: Any


class FeatureFields:
    """The fields of one feature by their names in snake case; fields without a value are absent.

    `take` and `take_all` map a field at most once, and report it.
    """

    def __init__(self, raw: RawFeature, report: Report) -> None:
        self.path = raw.path
        self.group = raw.group
        self.phase = raw.phase
        self._report = report
        self._fields: dict[str, SourceField] = {}
        for key, value in raw.fields.items():
            if is_empty(value):
                continue
            name = _shown_key(key)
            field = SourceField(name, f"{raw.path}.{name}", value)
            if self._fields.setdefault(snake(key), field) is not field:
                report.ignored(f"{name} (a second spelling of the same field)")
        self._unmapped = dict.fromkeys(self._fields)

    @property
    def empty(self) -> bool:
        """True if no field has a value."""
        return not self._fields

    def get(self, name: str) -> Any:
        """Return the value of a field, mapped or not, or None."""
        field = self._fields.get(name)
        return field.value if field else None

    def take(self, target: str, names: Collection[str], accept: Callable[[SourceField], T | None]) -> T | None:
        """Map the first unmapped field for which `accept` returns a value, and return that value."""
        return None if self._unmapped.keys().isdisjoint(names) else next(self._taken(target, names, accept), None)

    def take_all(self, target: str, names: Collection[str], accept: Callable[[SourceField], T | None]) -> list[T]:
        """Map every unmapped field for which `accept` returns a value, in the order of `names`."""
        return [] if self._unmapped.keys().isdisjoint(names) else list(self._taken(target, names, accept))

    def _taken(self, target: str, names: Iterable[str], accept: Callable[[SourceField], T | None]) -> Iterator[T]:
        for name in names:
            if name in self._unmapped and (found := accept(field := self._fields[name])) is not None:
                del self._unmapped[name]
                self._report.mapped(field.name, target)
                yield found

    def forget(self, names: Iterable[str]) -> None:
        """Exclude fields from the report of unmapped fields: they are reported elsewhere."""
        for name in names:
            self._unmapped.pop(name, None)

    def report_unmapped(self) -> None:
        """Report the fields that were not mapped as ignored."""
        for name in self._unmapped:
            self._report.ignored(self._fields[name].name)


@lru_cache(maxsize=1024)
def _shown_key(key: str) -> str:
    return shown(key)


def shown(value: Any) -> str:
    """Return a value of the file as one short line without control characters, for messages."""
    text = " ".join(clean(value if isinstance(value, str) else type(value).__name__).split())
    if not text.isprintable():  # a character that nobody has assigned yet
        text = "".join(one if one.isprintable() else "\ufffd" for one in text)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def text(value: Any) -> str | None:
    """Return the clean text of a string, an integer, or a list of strings (one per line), or None for anything else."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        value = "\n".join(value)
    if isinstance(value, str):
        return clean(value).strip() or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def one_line(value: Any) -> str | None:
    """Return the clean text of a value on one line, or None."""
    found = text(value)
    return " ".join(found.split()) or None if found else None


def truth(value: Any) -> bool | None:
    """Return a boolean, or the boolean that a word or number means, or None for anything else."""
    if isinstance(value, bool):
        return value
    return BOOLEANS.get(str(value).strip().casefold()) if isinstance(value, str | int) else None


def any_text(field: SourceField) -> str | None:
    """Return the clean text of any value: strings unchanged, structures as compact JSON, one line per item."""
    items = field.value if isinstance(field.value, list) else [field.value]
    try:
        lines = [item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in items]
    except RecursionError as error:
        raise InvalidInput(f"{field.path} is nested too deeply.", field=field.path) from error
    return clean("\n".join(lines)).strip() or None
