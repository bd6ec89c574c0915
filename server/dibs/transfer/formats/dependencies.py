"""Dependencies by reference: every one known, none on itself, none twice, and no circle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dibs.transfer.formats.backlog import Report
from dibs.transfer.formats.fields import Cell, Row, shown, text
from dibs.transfer.formats.vocabulary import DEPENDENCIES, DEPENDENCY_INDICES
from dibs_schema.refusals import InvalidInput


@dataclass(frozen=True, slots=True)
class Edge:
    """One dependency, and where it is written."""

    reference: str
    path: str


def edges(row: Row, references: Sequence[str]) -> list[Edge]:
    """Return what the row depends on, as it is written."""
    found = row.take_all("dependencies", DEPENDENCIES, _by_reference)
    found += row.take_all("dependencies", DEPENDENCY_INDICES, lambda cell: _by_index(cell, references))
    return [edge for batch in found for edge in batch]


def _by_reference(cell: Cell) -> list[Edge] | None:
    if isinstance(cell.value, bool):
        return None
    if not isinstance(cell.value, list):
        whole = text(cell.value)
        if whole is None:
            raise _unreadable(cell.path)
        return [Edge(part.strip(), cell.path) for part in whole.split(",") if part.strip()]
    return [
        Edge(_reference(item, path), path)
        for index, item in enumerate(cell.value)
        if item is not None and (path := f"{cell.path}[{index}]")
    ]


def _reference(item: Any, path: str) -> str:
    named = text(item.get("id") if isinstance(item, dict) else None if isinstance(item, list) else item)
    if named is None:
        raise _unreadable(path)
    return named


def _by_index(cell: Cell, references: Sequence[str]) -> list[Edge]:
    found = []
    for position, index in enumerate(cell.value if isinstance(cell.value, list) else [cell.value]):
        path = f"{cell.path}[{position}]"
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(references):
            last = len(references) - 1
            raise InvalidInput(f"{path} is no position in the list; they are 0 to {last}.", field=path)
        found.append(Edge(references[index], path))
    return found


def _unreadable(path: str) -> InvalidInput:
    return InvalidInput(f"{path} is no id; write the id of a feature of this file there.", field=path)


def resolve(
    references: Sequence[str], written: Sequence[list[Edge]], report: Report, *, drop_unknown: bool
) -> list[list[str]]:
    """Return each feature's dependencies, checked.

    With `drop_unknown`, a dependency on a feature that is gone is left out and reported; else it is refused.
    """
    known = set(references)
    kept: list[dict[str, Edge]] = []
    for reference, batch in zip(references, written, strict=True):
        own: dict[str, Edge] = {}
        for edge in batch:
            if edge.reference == reference:
                raise InvalidInput(
                    f"{edge.path}: {shown(reference)!r} depends on itself; remove that entry.",
                    field=edge.path,
                )
            if edge.reference not in known:
                _unknown(reference, edge, report, drop_unknown=drop_unknown)
            elif edge.reference in own:
                report.ignored("a dependency that is listed twice")
            else:
                own[edge.reference] = edge
        kept.append(own)
    _refuse_circle(dict(zip(references, kept, strict=True)))
    return [list(own) for own in kept]


def _unknown(reference: str, edge: Edge, report: Report, *, drop_unknown: bool) -> None:
    if not drop_unknown:
        needs = f"{shown(reference)!r} depends on {shown(edge.reference)!r}"
        message = f"{edge.path}: {needs}, which is no feature's id in the file; correct or remove that entry."
        raise InvalidInput(message, field=edge.path)
    report.ignored(f"the dependency of {shown(reference)} on {shown(edge.reference)}, which is gone")


def _refuse_circle(graph: dict[str, dict[str, Edge]]) -> None:
    """Walk the graph depth first, without recursion: a chain may be as long as the file."""
    done: set[str] = set()
    for start, first in graph.items():
        if start in done:
            continue
        trail = {start: iter(first)}
        while trail:
            at = next(reversed(trail))
            ahead = next(trail[at], None)
            if ahead is None:
                done.add(at)
                del trail[at]
            elif ahead in trail:
                raise _circle(list(trail), ahead, graph[at][ahead])
            elif ahead not in done:
                trail[ahead] = iter(graph[ahead])


def _circle(trail: list[str], back_to: str, edge: Edge) -> InvalidInput:
    circle = [*trail[trail.index(back_to) :], back_to]
    told = [shown(reference) for reference in circle]
    chain = " -> ".join(told if len(told) <= 12 else [*told[:6], "…", *told[-5:]])
    return InvalidInput(
        f"{edge.path} closes a circle of dependencies: {chain}; remove one of them.",
        field=edge.path,
        ids=told[:-1],
    )
