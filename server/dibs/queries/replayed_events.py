"""Replay from the events alone which dependencies each feature has, and which features await a recheck."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import select

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, among, in_project
from dibs_schema.status import Kind, Status
from dibs_schema.tables import dependencies, events

_D, _E = dependencies.c, events.c

_stored = select(_D.feature_id, _D.dependency_id).where(in_project(dependencies))
_changes = (
    select(_E.feature_id, _E.detail)
    .where(in_project(events), among(_E.kind, (Kind.CREATE, Kind.DEPEND)), _E.detail.is_not(None))
    .order_by(_E.id)
)
_awaiting = select(F.id).where(in_project(), F.recheck_since.is_not(None))
_RECHECKING = (Kind.UNMET, Kind.DEPEND, Kind.VERIFY, Kind.REGRESS, Kind.RETURN, Kind.REJECT, Kind.IMPORT)
_while_passing = (
    select(_E.feature_id, _E.kind, _E.detail)
    .where(in_project(events), _E.from_status == Status.PASSING.value, among(_E.kind, _RECHECKING))
    .order_by(_E.id)
)


def wrong_dependencies(tx: Transaction) -> dict[int, tuple[list[int], list[int]]]:
    """Return the features whose dependencies differ from the events: (stored, replayed).

    A creation event of an older version has no `depends_on`, and does not say where the replay begins. For such a
    feature, only the dependencies that later events name are compared.
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


def wrong_rechecks(tx: Transaction) -> dict[int, tuple[bool, bool]]:
    """Return the features whose rechecks differ from the events: (whether it awaits one, whether it should)."""
    stored, replayed = {row["id"] for row in tx.all(_awaiting)}, set[int]()
    for row in tx.all(_while_passing):
        if (row["kind"] == Kind.UNMET and "dependency" in row["detail"]) or (row["detail"] or {}).get("recheck"):
            replayed.add(row["feature_id"])
        elif row["kind"] not in (Kind.DEPEND, Kind.UNMET):
            replayed.discard(row["feature_id"])
    return {one: (one in stored, one in replayed) for one in sorted(stored ^ replayed)}
