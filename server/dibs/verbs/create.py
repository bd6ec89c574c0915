"""Create one feature, or many: all or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, func, insert, literal_column, select, update

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, in_project
from dibs.rules.critical_path import raise_heights
from dibs.rules.events import record_all
from dibs.rules.file_areas import add_areas
from dibs_schema.answers import Created
from dibs_schema.inputs import NewFeature
from dibs_schema.next_step import FIND_FEATURE, Step
from dibs_schema.refusals import InvalidInput, NotFound, TooManyDependencies, WouldCycle
from dibs_schema.status import SATISFIED, Kind, Status
from dibs_schema.tables import BELOW_EVERY_PRIORITY, dependencies, features, projects

_take_numbers = (
    update(projects)
    .where(projects.c.id == bindparam("project"))
    .values(next_feature_id=projects.c.next_feature_id + bindparam("wanted"))
    .returning(projects.c.next_feature_id)
)
_greatest_priority = select(func.coalesce(func.max(F.priority), 0)).where(
    in_project(), F.priority > literal_column(str(BELOW_EVERY_PRIORITY))
)
_CORRECTED = Step("feature_create_bulk", purpose="after you have corrected depends_on_indices", needs=("features",))
_statuses = select(F.id, F.status).where(in_project(), F.id.in_(bindparam("ids", expanding=True)))


def create(tx: Transaction, by: str, feature: NewFeature) -> Created:
    """Create one feature at the end of the queue, or at its `priority`. Raises NotFound, TooManyDependencies."""
    return create_bulk(tx, by, [feature])


def create_bulk(tx: Transaction, by: str, batch: Sequence[NewFeature]) -> Created:
    """Create all of `batch` or nothing, and return the ids in order.

    `depends_on_indices` name features of the batch, `dependencies` features that exist.
    Raises InvalidInput with the path of the field, NotFound, TooManyDependencies, WouldCycle.
    """
    first = claim_numbers(tx, len(batch))
    edges: list[tuple[int, int]] = []
    for place, one in enumerate(batch):
        of_batch = [first + _checked_index(place, index, len(batch)) for index in one.depends_on_indices]
        known_statuses(tx, [other for other in one.dependencies if other >= first])  # refuses ids of this batch
        edges += ((first + place, dependency) for dependency in dict.fromkeys([*of_batch, *one.dependencies]))
    path = find_cycle(edges)
    if path is not None:
        indices = [number - first for number in path]
        shown = " -> ".join(f"#{index}" for index in indices[:12]) + (" -> …" if len(indices) > 12 else "")
        raise WouldCycle(
            f"The batch depends on itself: {shown} (indices). Nothing was created.",
            next=[_CORRECTED],
            path=indices[:50],
            length=len(indices) - 1,
        )
    fields = {"category", "name", "description", "steps", "priority"}
    rows = [one.model_dump(include=fields) | {"paths": one.paths or None} for one in batch]
    insert_features(tx, by, first, rows, edges)
    return Created(ids=list(range(first, first + len(batch))), count=len(batch))


def claim_numbers(tx: Transaction, count: int) -> int:
    """Reserve `count` feature ids, which are never used again, and return the first."""
    return int(tx.value(_take_numbers, wanted=count)) - count


def _checked_index(place: int, index: int, count: int) -> int:
    if index >= count:
        raise InvalidInput(
            f"features[{place}].depends_on_indices: {index} is outside the batch of {count} (0 is the first).",
            field=f"features[{place}].depends_on_indices",
        )
    if index == place:
        raise WouldCycle(
            f"features[{place}] depends on itself: #{place} -> #{place}. Nothing was created.",
            next=[_CORRECTED],
            path=[place, place],
        )
    return index


def insert_features(
    tx: Transaction, by: str, first: int, rows: list[dict[str, Any]], edges: list[tuple[int, int]]
) -> None:
    """Insert rows with ids from `first` on, and their dependencies, counters and events.

    Rows without a priority go to the end of the queue. Raises NotFound, TooManyDependencies.
    """
    unmet = _unmet_counts(tx, first, rows, edges)
    priority = int(tx.value(_greatest_priority))
    height = 0 if tx.project.settings.order == "critical_path" else None
    common = {"project_id": tx.project.id, "created_at": tx.now, "updated_at": tx.now, "height": height}
    complete: list[dict[str, Any]] = []
    for number, row in enumerate(rows, first):
        own = {"id": number, "unmet_dependencies": unmet[number]}
        if row.get("priority") is None:
            priority += 1
            own["priority"] = priority
        complete.append(_BLANK | {"created_by": by} | common | row | own)
    tx.insert(insert(features), complete)
    add_areas(tx, {row["id"]: row["paths"] for row in complete})
    tx.insert(
        insert(dependencies),
        [{"project_id": tx.project.id, "feature_id": one, "dependency_id": other} for one, other in edges],
    )
    record_all(tx, by, Kind.CREATE, [{"feature_id": row["id"], "to_status": row["status"]} for row in complete])
    raise_heights(tx, {other for _, other in edges})
    tx.grows = len(rows) >= MANY


MANY = 500
"""Rows in one transaction after which the statistics of the query planner are out of date."""
_BLANK: dict[str, Any] = {
    "status": Status.PENDING.value,
    "skips": 0,
    "attempts": 0,
    "failures": 0,
    "reference": None,
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
    tx: Transaction, first: int, rows: Sequence[dict[str, Any]], edges: Iterable[tuple[int, int]]
) -> dict[int, int]:
    new = {number: row.get("status", Status.PENDING) for number, row in enumerate(rows, first)}
    known = new | known_statuses(tx, [other for _, other in edges if other not in new])
    unmet = dict.fromkeys(new, 0)
    degree = dict.fromkeys(new, 0)
    for one, other in edges:
        degree[one] += 1
        unmet[one] += known[other] not in SATISFIED
    for number, count in degree.items():
        refuse_too_many(tx, number, count, place=number - first)
    return unmet


def known_statuses(tx: Transaction, ids: Sequence[int]) -> dict[int, str]:
    """Return the statuses of features that must exist. Raises NotFound with the first missing id."""
    distinct = list(dict.fromkeys(ids))
    found: dict[int, str] = {}
    for start in range(0, len(distinct), 500):
        found |= {row["id"]: row["status"] for row in tx.all(_statuses, ids=distinct[start : start + 500])}
    missing = next((one for one in distinct if one not in found), None)
    if missing is not None:
        raise NotFound(
            f"There is no feature {missing} to depend on. Nothing was changed.", next=[FIND_FEATURE], id=missing
        )
    return found


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


def find_cycle(edges: Iterable[tuple[int, int]]) -> list[int] | None:
    """Return the ids along a cycle of the edges, with the first id repeated at the end, or None."""
    following: dict[int, list[int]] = {}
    for one, other in edges:
        following.setdefault(one, []).append(other)
    done: set[int] = set()
    for start, targets in following.items():
        path = {start: iter(targets)} if start not in done else {}  # each node with its untried edges
        while path:
            node = next(reversed(path))
            step = next(path[node], None)
            if step is None:
                del path[node]
                done.add(node)
            elif step in path:
                nodes = list(path)
                return [*nodes[nodes.index(step) :], step]
            elif step not in done:
                path[step] = iter(following.get(step, ()))
    return None
