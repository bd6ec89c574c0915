"""Create one feature, or many: all or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, func, literal_column, select, update

from dibs.database.compiled import JSONText
from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import F, in_project
from dibs.rules.critical_path import raise_dependencies
from dibs.rules.events import record_all
from dibs.rules.file_areas import add_areas
from dibs.verbs.batch import Batch, NewRow, check_batch
from dibs_schema.answers import Created, RefusedEntry
from dibs_schema.inputs import NewFeature
from dibs_schema.next_step import FIND_FEATURE
from dibs_schema.refusals import NotFound, Refusal, TooManyDependencies
from dibs_schema.status import SATISFIED, Kind, Status
from dibs_schema.tables import BELOW_EVERY_PRIORITY, PLACE_GAP, dependencies, features, projects

_take_numbers = (
    update(projects)
    .where(projects.c.id == bindparam("project"))
    .values(next_feature_id=projects.c.next_feature_id + bindparam("wanted"))
    .returning(projects.c.next_feature_id)
)
_greatest_priority = select(func.coalesce(func.max(F.priority), 0)).where(
    in_project(), F.priority > literal_column(str(BELOW_EVERY_PRIORITY))
)
# In no order: to sort by id, SQLite would read all rows.
_same = select(F.id, F.name_digest, F.description, F.steps).where(
    in_project(),
    F.name_digest.in_(bindparam("digests", expanding=True)),
    F.status != literal_column(f"'{Status.ARCHIVED}'"),
)
_statuses = select(F.id, F.status).where(in_project(), F.id.in_(bindparam("ids", expanding=True)))


def create(tx: Transaction, by: str, feature: NewFeature, *, once_by_name: bool = False) -> Created:
    """Create one feature at the end of the queue, or at its `priority`. Raises NotFound, TooManyDependencies."""
    return create_batch(tx, by, check_batch([feature]), once_by_name=once_by_name)


def create_bulk(tx: Transaction, by: str, entries: Sequence[NewFeature]) -> Created:
    """Create all `entries` or nothing, whatever the names of existing features. Raises the refusals of `create_batch`."""
    return create_batch(tx, by, check_batch(entries))


def create_batch(
    tx: Transaction, by: str, batch: Batch, *, once_by_name: bool = False, partial: bool = False
) -> Created:
    """Create all of `batch` or nothing, and return the ids in order.

    With `once_by_name`, an entry with the category and name of an existing, unarchived feature refers to that feature.
    With `partial`, the valid entries are created, each whole or not at all. Raises the refusal of the only invalid
    entry, or InvalidInput if there are several.
    """
    ids, differing, first_of = find_existing(tx, batch) if once_by_name else ({}, [], {})
    missing = {place: one for place, one in batch.valid().items() if place not in ids and place not in first_of}
    needed = [other for one in missing.values() for other in one.dependencies]
    statuses = _existing_statuses(tx, [*ids.values(), *needed])
    batch = replace(batch, refused=batch.refused | _refused_dependencies(tx, batch, missing, statuses))
    if batch.refused and not partial:
        batch.refuse()
    batch.refuse_dependents()
    batch.refused.update({place: batch.refused[one] for place, one in first_of.items() if one in batch.refused})
    new = [place for place in missing if place not in batch.refused]
    if new:
        first = claim_numbers(tx, len(new))
        ids |= {place: number for number, place in enumerate(new, first)}
        edges = [
            (ids[place], other)
            for place in new
            for other in dict.fromkeys(
                [*(ids[first_of.get(one, one)] for one in batch.within[place]), *missing[place].dependencies]
            )
            if other != ids[place]
        ]
        rows = [(batch.rows[place], _of_status(tx, by, missing[place])) for place in new]
        insert_features(tx, by, range(first, first + len(new)), rows, edges, statuses)
    return Created(
        ids=[ids.get(first_of.get(place, place), 0) for place in range(len(batch.entries))],
        count=len(new),
        existing=len(batch.entries) - len(new) - len(batch.refused),
        differing=differing,
        refused=[RefusedEntry(index=place, reason=why.fact) for place, why in sorted(batch.refused.items())],
    )


def _of_status(tx: Transaction, by: str, one: NewFeature) -> dict[str, Any]:
    return {"status": Status.PASSING.value, "passed_by": by, "passed_at": tx.now} if one.passes else {}


def find_existing(tx: Transaction, batch: Batch) -> tuple[dict[int, int], list[int], dict[int, int]]:
    """Return the features that entries stand for, those whose texts differ, and the first of equal entries."""
    digests = {place: batch.rows[place].columns["name_digest"] for place in batch.valid()}
    wanted = list(dict.fromkeys(digests.values()))
    found: dict[str, Row] = {}
    for start in range(0, len(wanted), 500):
        for row in tx.all(_same, digests=wanted[start : start + 500]):
            if row["id"] <= found.get(row["name_digest"], row)["id"]:
                found[row["name_digest"]] = row
    ids: dict[int, int] = {}
    differing: list[int] = []
    places: dict[str, int] = {}
    first_of: dict[int, int] = {}
    for place, one in batch.valid().items():
        if digests[place] not in found:
            first = places.setdefault(digests[place], place)
            if first != place:
                first_of[place] = first
            continue
        row = found[digests[place]]
        ids[place] = row["id"]
        if (row["description"], row["steps"]) != (one.description, one.steps):
            differing.append(row["id"])
    return ids, differing, first_of


def _refused_dependencies(
    tx: Transaction, batch: Batch, entries: Mapping[int, NewFeature], statuses: Mapping[int, str]
) -> dict[int, Refusal]:
    """Return the refusals of entries that depend on a feature that does not exist, or on too many."""
    refused: dict[int, Refusal] = {}
    for place, one in entries.items():
        try:
            _refuse_unknown(statuses, one.dependencies)
            refuse_too_many(tx, place, len(batch.within[place]) + len(set(one.dependencies)), place=place)
        except Refusal as refusal:
            refused[place] = refusal
    return refused


def claim_numbers(tx: Transaction, count: int) -> int:
    """Reserve `count` feature ids, which are never used again, and return the first."""
    return int(tx.value(_take_numbers, wanted=count)) - count


def insert_features(
    tx: Transaction,
    by: str,
    numbers: Sequence[int],
    rows: Sequence[tuple[NewRow, Mapping[str, Any]]],
    edges: list[tuple[int, int]],
    statuses: Mapping[int, str],
) -> None:
    """Insert rows with the ids `numbers`, and their dependencies, counters and events.

    Each row comes with the columns that only the transaction knows. `statuses` has the statuses of the existing
    features in `edges`. Rows without a priority go to the end of the queue. The caller has refused too many
    dependencies.
    """
    needs: dict[int, list[int]] = {number: [] for number in numbers}
    for one, other in edges:
        needs[one].append(other)
    unmet = _unmet_counts(rows, needs, statuses)
    priority = int(tx.value(_greatest_priority))
    height = 0 if tx.project.settings.order == "critical_path" else None
    common = {"project_id": tx.project.id, "created_at": tx.now, "updated_at": tx.now, "height": height}
    complete: list[dict[str, Any]] = []
    for number, (row, more) in zip(numbers, rows, strict=True):
        own = {"id": number, "place": number * PLACE_GAP, "unmet_dependencies": unmet[number]}
        if row.columns.get("priority") is None:
            priority += 1
            own["priority"] = priority
        complete.append({**_BLANK, "created_by": by, **common, **row.columns, **more, **own})
    tx.insert(features, complete)
    add_areas(tx, {number: row.areas for number, (row, _) in zip(numbers, rows, strict=True)})
    tx.insert(
        dependencies,
        [{"project_id": tx.project.id, "feature_id": one, "dependency_id": other} for one, other in edges],
    )
    # The text of a list of integers is its JSON: others wait for this transaction, so nothing is encoded in it.
    details = {number: JSONText(f'{{"depends_on": {ids}}}') for number, ids in needs.items()}
    created = [{"feature_id": row["id"], "to_status": row["status"], "detail": details[row["id"]]} for row in complete]
    record_all(tx, by, Kind.CREATE, created)
    raise_dependencies(tx, [one for one, ids in needs.items() if ids])
    tx.grows = len(rows) >= MANY


MANY = 500
"""Rows in one transaction after which the statistics of the query planner are out of date."""
_BLANK: dict[str, Any] = {
    "status": Status.PENDING.value,
    "skips": 0,
    "attempts": 0,
    "failures": 0,
    "reference": None,
    "source": None,
    "last_failure": None,
    "evidence": None,
    "human_request": None,
    "human_answer": None,
    "passed_by": None,
    "passed_at": None,
    "archived_from": None,
    "paths": None,
}


def _unmet_counts(
    rows: Sequence[tuple[NewRow, Mapping[str, Any]]],
    needs: Mapping[int, Sequence[int]],
    statuses: Mapping[int, str],
) -> dict[int, int]:
    new = {number: more.get("status", Status.PENDING) for number, (_, more) in zip(needs, rows, strict=True)}
    known = {**statuses, **new}
    return {number: sum(known[one] not in SATISFIED for one in ids) for number, ids in needs.items()}


def known_statuses(tx: Transaction, ids: Sequence[int]) -> dict[int, str]:
    """Return the statuses of features that must exist. Raises NotFound with the first missing id."""
    found = _existing_statuses(tx, ids)
    _refuse_unknown(found, ids)
    return found


def _existing_statuses(tx: Transaction, ids: Sequence[int]) -> dict[int, str]:
    distinct = list(dict.fromkeys(ids))
    found: dict[int, str] = {}
    for start in range(0, len(distinct), 500):
        found |= {row["id"]: row["status"] for row in tx.all(_statuses, ids=distinct[start : start + 500])}
    return found


def _refuse_unknown(statuses: Mapping[int, str], ids: Sequence[int]) -> None:
    missing = next((one for one in ids if one not in statuses), None)
    if missing is not None:
        raise NotFound(
            f"There is no feature {missing} to depend on. Nothing was changed.", next=[FIND_FEATURE], id=missing
        )


def refuse_too_many(tx: Transaction, feature: int, count: int, place: int | None = None) -> None:
    """Raise TooManyDependencies if the project allows fewer than `count`."""
    most = tx.project.settings.max_dependencies
    if count > most:
        where = f"Feature {feature}" if place is None else f"features[{place}]"
        raise TooManyDependencies(
            f"{where} would depend on {count} features, and the limit is {most}. Depend on fewer. "
            "A person can raise the limit with `dibs settings max_dependencies`.",
            count=count,
            most=most,
        )
