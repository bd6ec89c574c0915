"""Replay the dependencies of each feature from the events alone."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import select

from dibs.database.transaction import Transaction
from dibs.rules.conditions import among, in_project
from dibs_schema.status import Kind
from dibs_schema.tables import dependencies, events

_D, _E = dependencies.c, events.c

_stored = select(_D.feature_id, _D.dependency_id).where(in_project(dependencies))
_changes = (
    select(_E.feature_id, _E.detail)
    .where(in_project(events), among(_E.kind, (Kind.CREATE, Kind.DEPEND)), _E.detail.is_not(None))
    .order_by(_E.id)
)


def wrong_dependencies(tx: Transaction) -> dict[int, tuple[list[int], list[int]]]:
    """Return the features whose dependencies are not those of the events: (stored, replayed).

    A creation event of an older version has no `depends_on`, and does not say where the replay begins. Of such a feature
    only the dependencies that later events name are compared.
    """
    stored: dict[int, set[int]] = defaultdict(set)
    for row in tx.all(_stored):
        stored[row["feature_id"]].add(row["dependency_id"])
    replayed: dict[int, set[int]] = {one: set(ids) for one, ids in stored.items()}
    for row in tx.all(_changes):
        feature, detail = row["feature_id"], row["detail"]
        if "depends_on" in detail:
            replayed[feature] = set(detail["depends_on"])
        else:
            now = replayed.setdefault(feature, set())
            replayed[feature] = (now | {*detail.get("added", ())}) - {*detail.get("removed", ())}
    return {one: (sorted(stored[one]), sorted(ids)) for one, ids in sorted(replayed.items()) if ids != stored[one]}
