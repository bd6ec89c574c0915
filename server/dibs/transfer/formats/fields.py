"""One feature's fields while it is read: what each is called in the file, and which have found a place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from dibs.transfer.formats.backlog import Report
from dibs.transfer.formats.vocabulary import BOOLEANS, snake
from dibs_schema.refusals import InvalidInput
from dibs_schema.sanitize import clean

T = TypeVar("T")
SHOWN = 60


@dataclass(frozen=True, slots=True)
class Cell:
    """One field: its name and path in the file, and its value."""

    name: str
    path: str
    value: Any


class Row:
    """A feature's fields by their names in snake case; empty ones count as absent."""

    def __init__(self, path: str, value: dict[str, Any], report: Report) -> None:
        self.path = path
        self._report = report
        self._cells: dict[str, Cell] = {}
        for key, held in value.items():
            if _blank(held):
                continue
            name = shown(key)
            cell = Cell(name, f"{path}.{name}", held)
            if self._cells.setdefault(snake(key), cell) is not cell:
                report.ignored(f"{name} (a second spelling of the same field)")
        self._free = dict.fromkeys(self._cells)

    @property
    def empty(self) -> bool:
        """Whether no field holds anything."""
        return not self._cells

    def get(self, name: str) -> Any:
        """The value of a field, whether it has found a place or not."""
        cell = self._cells.get(name)
        return cell.value if cell else None

    def take(self, target: str, names: Iterable[str], accept: Callable[[Cell], T | None]) -> T | None:
        """The first of the fields that is free and that `accept` makes something of; it has a place then."""
        return next(self._taken(target, names, accept), None)

    def take_all(self, target: str, names: Iterable[str], accept: Callable[[Cell], T | None]) -> list[T]:
        """Every field that is free and that `accept` makes something of, in the order of `names`."""
        return list(self._taken(target, names, accept))

    def _taken(self, target: str, names: Iterable[str], accept: Callable[[Cell], T | None]) -> Iterator[T]:
        for name in names:
            if name in self._free and (found := accept(cell := self._cells[name])) is not None:
                del self._free[name]
                self._report.mapped(cell.name, target)
                yield found

    def tell_rest(self) -> None:
        """Report the fields that have found no place."""
        for name in self._free:
            self._report.ignored(self._cells[name].name)


def _blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or value in ([], {})


def shown(value: Any) -> str:
    """A value from the file as a message may show it: one short clean line."""
    text = " ".join(clean(value if isinstance(value, str) else type(value).__name__).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def text(value: Any) -> str | None:
    """The clean text of a value: a text, a number, or a list of such as lines; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return clean(value).strip() or None
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return clean("\n".join(value)).strip() or None
    return None


def one_line(value: Any) -> str | None:
    """The clean text of a value, on one line."""
    found = text(value)
    return " ".join(found.split()) or None if found else None


def truth(value: Any) -> bool | None:
    """A boolean, or what stands for one in a file; else None."""
    if isinstance(value, bool):
        return value
    return BOOLEANS.get(str(value).strip().casefold()) if isinstance(value, str | int) else None


def record(cell: Cell) -> str | None:
    """The clean text of any value: texts as they are, structures as compact JSON, one line an item."""
    items = cell.value if isinstance(cell.value, list) else [cell.value]
    try:
        lines = [item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in items]
    except RecursionError as error:
        raise InvalidInput(f"{cell.path} is nested too deeply.", field=cell.path) from error
    return clean("\n".join(lines)).strip() or None
