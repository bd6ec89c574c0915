"""Compares the features of a file with the features of the project: which are new, and where the others differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, bindparam, select

from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import F, among, in_project
from dibs.transfer.formats.backlog import Backlog, ImportedFeature
from dibs.transfer.sources import Sources, backlog_id, stored_reference
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Kind, Status
from dibs_schema.tables import dependencies, events

BATCH = 500
TEXTS = ("category", "name", "description", "steps", "priority", "paths")
"""The fields that one update of a feature changes."""

_D, _E = dependencies.c, events.c
_ids: BindParameter[Any] = bindparam("ids", expanding=True)
_texts = select(F.id, F.status, *(F[name] for name in TEXTS)).where(in_project(), F.id.in_(_ids))
_needs = select(_D.feature_id, _D.dependency_id).where(in_project(dependencies), _D.feature_id.in_(_ids))
_notes = select(_E.feature_id, _E.detail).where(
    in_project(events), _E.feature_id.in_(_ids), among(_E.kind, (Kind.NOTE,))
)


class Difference(NamedTuple):
    """One field of a feature that differs: its value here in the project, and its value there in the file.

    Dependencies are references, and `notes` has the file's notes that the project lacks.
    """

    feature: int
    reference: str
    field: str
    here: Any
    there: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """What an import would do.

    `source` is the source of the features. `numbers` maps the file's references to the features that exist already. The
    `adopted` ones have no source yet, and agents have `claimed` some. `new` are the other features, and `stored` the
    references that they will have. `gone` are the references that the file no longer has. `last_id` is the greatest id
    of the project.
    """

    source: str
    numbers: Mapping[str, int] = field(default_factory=dict)
    new: Sequence[ImportedFeature] = ()
    stored: Mapping[str, str] = field(default_factory=dict)
    differences: Sequence[Difference] = ()
    gone: Sequence[str] = ()
    adopted: Sequence[int] = ()
    claimed: Sequence[int] = ()
    last_id: int = 0


def batches(values: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield the values in lists that are short enough for one statement."""
    every = list(values)
    return (every[start : start + BATCH] for start in range(0, len(every), BATCH))


def compare(tx: Transaction, backlog: Backlog, source: str, *, named: bool = False) -> Comparison:
    """Compare the features of a file with the features of the project.

    `source` is what the references belong to. If the user has `named` it, no other list is looked for.
    Raises InvalidInput if the source is unclear, or a feature has too many dependencies.
    """
    features = backlog.features
    sources = Sources.read(tx)
    gone: list[str] = []
    adopted: list[int] = []
    if backlog.project is not None and backlog.project == backlog_id(tx):
        numbers = sources.numbers_of(features, source)
    else:
        known_as = source if named else sources.list_of(features, source, declared=backlog.source is not None)
        rows = sources.lists.get(known_as, {})
        numbers = {one.reference: rows[one.reference]["id"] for one in features if one.reference in rows}
        if known_as is None:
            adopted = sorted(numbers.values())
        else:
            source, gone = known_as, sources.gone(known_as, numbers)
    new = [one for one in features if one.reference not in numbers]
    refuse_too_many(tx, new)
    taken = dict(sources.stored)
    stored = {}
    for one in new:
        stored[one.reference] = stored_reference(source, one.reference, taken)
        taken[stored[one.reference]] = 0
    present = [one for one in features if one.reference in numbers]
    differences = list(_differences(tx, present, numbers))
    last_id = max(sources.ids, default=0)
    return Comparison(source, numbers, new, stored, differences, gone, adopted, sources.claimed, last_id)


def refuse_too_many(tx: Transaction, features: Iterable[ImportedFeature]) -> None:
    """Raise InvalidInput if a feature has more dependencies than the project allows."""
    most = tx.project.settings.max_dependencies
    for one in features:
        if len(one.dependencies) > most:
            path = f"{one.path}.dependencies"
            raise InvalidInput(
                f"{path}: {one.reference!r} depends on {len(one.dependencies)} features, and the limit is {most}. "
                f"Remove some, or raise the limit with `dibs settings max_dependencies {len(one.dependencies)}`. "
                "Nothing was imported.",
                field=path,
            )


def _differences(
    tx: Transaction, present: Sequence[ImportedFeature], numbers: Mapping[str, int]
) -> Iterator[Difference]:
    references = {number: reference for reference, number in numbers.items()}
    for start in range(0, len(present), BATCH):
        batch = present[start : start + BATCH]
        ids = [numbers[one.reference] for one in batch]
        rows = {row["id"]: row for row in tx.all(_texts, ids=ids)}
        needs: dict[int, set[str]] = {}
        for edge in tx.all(_needs, ids=ids):
            if edge["dependency_id"] in references:
                needs.setdefault(edge["feature_id"], set()).add(references[edge["dependency_id"]])
        noted: dict[int, set[str]] = {}
        with_notes = [numbers[one.reference] for one in batch if one.notes]
        for event in tx.all(_notes, ids=with_notes) if with_notes else ():
            noted.setdefault(event["feature_id"], set()).add(event["detail"]["note"])
        for one in batch:
            number = numbers[one.reference]
            here = _values(rows[number], needs.get(number, set()))
            there = _values_there(one, noted.get(number, set()))
            for name, value in there.items():
                if here.get(name, []) != value:
                    yield Difference(number, one.reference, name, here.get(name), value)


def _values(row: Row, needs: set[str]) -> dict[str, Any]:
    status = Status.PENDING if row["status"] == Status.IN_PROGRESS else Status(row["status"])
    texts = {name: row[name] for name in TEXTS}
    return {"status": status, **texts, "paths": row["paths"] or [], "dependencies": sorted(needs)}


def _values_there(one: ImportedFeature, noted: set[str]) -> dict[str, Any]:
    found = {
        "status": one.status,
        **{name: getattr(one, name) for name in TEXTS},
        "dependencies": sorted(one.dependencies),
    }
    if not one.has_priority:
        del found["priority"]  # it is only the place in the file, which every new entry before it changes
    return found | {"notes": [note for note in one.notes if note not in noted]}
