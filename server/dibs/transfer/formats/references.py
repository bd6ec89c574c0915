"""The references of the entries of a file, and the dependencies between them, which form no cycle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from dibs.transfer.formats.backlog import REFERENCE_LENGTH, Report, within
from dibs.transfer.formats.entry import Dependency, Entry
from dibs.transfer.formats.fields import shown
from dibs_schema.folding import fold, name_digest
from dibs_schema.refusals import InvalidInput

TEXT_KEY = "text-"
"""How the reference of an entry without an id begins; a digest of its category and name follows."""


def references_of(entries: Sequence[Entry]) -> list[str]:
    """Return each entry's id, or an id made from its category and name, which does not depend on its place in the file.

    The entries have categories and names. Raises InvalidInput if two have the same id.
    """
    found: dict[str, str] = {}
    for entry in entries:
        if (given := entry.reference) is None:
            continue
        path = f"{entry.path}.id"
        if given in found:
            name = shown(given)
            raise InvalidInput(
                f"{path} is {name!r}, which is already the id of {found[given]}; give it an id of its own.",
                field=path,
                id=name,
            )
        found[within(given, REFERENCE_LENGTH, path)] = entry.path
    same: Counter[str] = Counter()
    references = []
    for entry in entries:
        reference = entry.reference
        while reference is None or (entry.reference is None and reference in found):
            key = TEXT_KEY + name_digest(entry.category or "", entry.name or "")[:12]
            same[key] += 1
            reference = key if same[key] == 1 else f"{key}-{same[key]}"
        found.setdefault(reference, entry.path)
        references.append(reference)
    return references


def dependencies_of(
    entries: Sequence[Entry], references: Sequence[str], report: Report, *, drop_unknown: bool
) -> list[list[str]]:
    """Return each entry's dependencies by reference, without duplicates.

    A dependency is named by an id, by a name that only one entry has, by its place from 0 as a number, or, if it has no
    id, by its place from 1 as text. With `drop_unknown`, unknown dependencies are left out and reported. Raises
    InvalidInput for an unknown dependency, an entry that depends on itself, or a cycle.
    """
    known = _names(entries, references)
    graph: dict[str, dict[str, Dependency]] = {}
    for reference, entry in zip(references, entries, strict=True):
        own = graph[reference] = {}
        for dependency in entry.dependencies:
            needed = _reference(dependency.reference, known, references)
            if needed is None:
                _unknown(reference, dependency, report, drop_unknown=drop_unknown)
            elif needed == reference:
                raise InvalidInput(
                    f"{dependency.path}: {shown(reference)!r} depends on itself; remove that entry.",
                    field=dependency.path,
                )
            elif needed in own:
                report.ignored("a dependency that is listed twice")
            else:
                own[needed] = dependency
    _refuse_cycle(graph)
    return [list(own) for own in graph.values()]


def _reference(named: str | int, known: Mapping[str, str], references: Sequence[str]) -> str | None:
    if isinstance(named, int):
        return references[named]
    return known.get(named) or known.get(fold(named))


def _names(entries: Sequence[Entry], references: Sequence[str]) -> Mapping[str, str]:
    """Return the references by what a dependency may call them; an id takes precedence."""
    names = Counter(fold(entry.name or "") for entry in entries)
    known: dict[str, str] = {}
    for place, (entry, reference) in enumerate(zip(entries, references, strict=True), start=1):
        name = fold(entry.name or "")
        if names[name] == 1:
            known[name] = reference
        if entry.reference is None:
            known.setdefault(str(place), reference)
    return known | {reference: reference for reference in references}


def _unknown(reference: str, dependency: Dependency, report: Report, *, drop_unknown: bool) -> None:
    if not drop_unknown:
        raise InvalidInput(
            f"{dependency.path}: {shown(reference)!r} depends on {shown(str(dependency.reference))!r}, which is neither the "
            "id nor the name of a feature in the file; correct or remove that entry, or import with --drop-unknown.",
            field=dependency.path,
        )
    report.ignored(f"the dependency of {shown(reference)} on {shown(str(dependency.reference))}, which does not exist")


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
