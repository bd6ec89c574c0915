"""Why a ready feature stands where it does in the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, func, select

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, among, in_project
from dibs_schema.status import SATISFIED
from dibs_schema.tables import dependencies, features

LONGEST = 40
"""Characters of a reason."""
ORDERS = {
    "priority": "fewest skips, then lowest priority, then as moved, then lowest id",
    "critical_path": "fewest skips, then longest chain of dependents, then lowest priority, then as moved, then lowest id",
}
"""The order of the queue for each value of the project's `order`."""

_D = dependencies.c
_waiting = (
    select(_D.dependency_id, func.count().label("n"))
    .join(features, (F.project_id == _D.project_id) & (F.id == _D.feature_id))
    .where(
        in_project(dependencies), _D.dependency_id.in_(bindparam("ids", expanding=True)), ~among(F.status, SATISFIED)
    )
    .group_by(_D.dependency_id)
)


def count_waiting(tx: Transaction, ids: Sequence[int]) -> dict[int, int]:
    """Return how many features wait for each of these features, where any do."""
    return {row["dependency_id"]: row["n"] for row in tx.all(_waiting, ids=list(ids))} if ids else {}


def reason(row: Mapping[Any, Any], waiting: int) -> str:
    """Return the reasons for a feature's place in the queue, weightiest first, and how many features wait for it."""
    parts = [f"skipped {row['skips']}x"] if row["skips"] else []
    parts += [f"chain of {row['height']}"] if row["height"] else []
    parts.append(f"priority {row['priority']}")
    parts += [f"{waiting} wait{'' if waiting > 1 else 's'} for it"] if waiting else []
    while len("; ".join(parts)) > LONGEST:
        parts.pop()
    return "; ".join(parts)
