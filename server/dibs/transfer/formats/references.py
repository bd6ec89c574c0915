"""References: the ids of features, and the dependencies between them, which must be known and without a cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from dibs.transfer.formats.backlog import REFERENCE_LENGTH, Report, within
from dibs.transfer.formats.fields import FeatureFields, SourceField, one_line, shown, text
from dibs.transfer.formats.vocabulary import DEPENDENCIES, DEPENDENCY_INDICES, IDS
from dibs_schema.refusals import InvalidInput


@dataclass(frozen=True, slots=True)
class Dependency:
    """The reference of a dependency, and the path of its entry in the file."""

    reference: str
    path: str


def read_references(features: Sequence[FeatureFields]) -> list[str]:
    """Return each feature's id, or its position if it has none. Raises InvalidInput if two are equal."""
    ids = [feature.take("reference", IDS, _id) for feature in features]
    taken = set(ids)
    found: dict[str, str] = {}
    for position, (feature, given) in enumerate(zip(features, ids, strict=True), start=1):
        reference = given or (f"#{position}" if str(position) in taken else str(position))
        if reference in found:
            path, name = f"{feature.path}.id", shown(reference)
            raise InvalidInput(
                f"{path} is {name!r}, which is already the id of {found[reference]}; give it an id of its own.",
                field=path,
                id=name,
            )
        found[reference] = feature.path
    return list(found)


def _id(field: SourceField) -> str:
    found = None if isinstance(field.value, list) else one_line(field.value)
    if found is None:
        raise InvalidInput(f"{field.path} is not an id; write a number or a string there.", field=field.path)
    return within(found, REFERENCE_LENGTH, field.path)


def read_dependencies(feature: FeatureFields, references: Sequence[str]) -> list[Dependency]:
    """Return the feature's dependencies as the file lists them, unchecked."""
    found = feature.take_all("dependencies", DEPENDENCIES, _by_reference)
    found += feature.take_all("dependencies", DEPENDENCY_INDICES, lambda field: _by_index(field, references))
    return [dependency for batch in found for dependency in batch]


def _by_reference(field: SourceField) -> list[Dependency] | None:
    if isinstance(field.value, bool):
        return None
    if not isinstance(field.value, list):
        listed = text(field.value)
        if listed is None:
            raise _unreadable(field.path)
        return [Dependency(part.strip(), field.path) for part in listed.split(",") if part.strip()]
    return [
        Dependency(_reference(item, path), path)
        for index, item in enumerate(field.value)
        if item is not None and (path := f"{field.path}[{index}]")
    ]


def _reference(item: Any, path: str) -> str:
    named = text(item.get("id") if isinstance(item, dict) else None if isinstance(item, list) else item)
    if named is None:
        raise _unreadable(path)
    return named


def _by_index(field: SourceField, references: Sequence[str]) -> list[Dependency]:
    found = []
    for position, index in enumerate(field.value if isinstance(field.value, list) else [field.value]):
        path = f"{field.path}[{position}]"
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(references):
            last = len(references) - 1
            raise InvalidInput(f"{path} is not a position in the list; positions are 0 to {last}.", field=path)
        found.append(Dependency(references[index], path))
    return found


def _unreadable(path: str) -> InvalidInput:
    return InvalidInput(f"{path} is not an id; write the id of a feature of this file there.", field=path)


def check_dependencies(
    references: Sequence[str], listed: Sequence[list[Dependency]], report: Report, *, drop_unknown: bool
) -> list[list[str]]:
    """Return each feature's dependencies by reference, without duplicates.

    With `drop_unknown`, a dependency on a missing feature is left out and reported; else it is refused.
    Raises InvalidInput for a dependency of a feature on itself, an unknown one, or a cycle.
    """
    known = set(references)
    graph: dict[str, dict[str, Dependency]] = {}
    for reference, batch in zip(references, listed, strict=True):
        own = graph[reference] = {}
        for dependency in batch:
            if dependency.reference == reference:
                raise InvalidInput(
                    f"{dependency.path}: {shown(reference)!r} depends on itself; remove that entry.",
                    field=dependency.path,
                )
            if dependency.reference not in known:
                _unknown(reference, dependency, report, drop_unknown=drop_unknown)
            elif dependency.reference in own:
                report.ignored("a dependency that is listed twice")
            else:
                own[dependency.reference] = dependency
    _refuse_cycle(graph)
    return [list(own) for own in graph.values()]


def _unknown(reference: str, dependency: Dependency, report: Report, *, drop_unknown: bool) -> None:
    if not drop_unknown:
        raise InvalidInput(
            f"{dependency.path}: {shown(reference)!r} depends on {shown(dependency.reference)!r}, which is not the id of "
            "a feature in the file; correct or remove that entry.",
            field=dependency.path,
        )
    report.ignored(f"the dependency of {shown(reference)} on {shown(dependency.reference)}, which does not exist")


def _refuse_cycle(graph: dict[str, dict[str, Dependency]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1][::-1]
        closing = graph[cycle[-2]][cycle[-1]]
        names = [shown(reference) for reference in cycle]
        chain = " -> ".join(names if len(names) <= 12 else [*names[:6], "…", *names[-5:]])
        raise InvalidInput(
            f"{closing.path} closes a cycle of dependencies: {chain}; remove one of them.",
            field=closing.path,
            ids=names[:-1],
        ) from None
