"""Since when features have been in their states, and which have been there longest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ScalarSelect, Select, and_, bindparam, case, func, or_, select

from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, among, in_project, is_, literal_text, queue_order, ready
from dibs.rules.file_areas import files_are_free
from dibs_schema.answers import Oldest
from dibs_schema.status import Kind, Status
from dibs_schema.tables import dependencies, events, features, projects

LOOKED_AT = 50
"""The features of a state that are compared."""
NEWEST = 1_000
"""The newest features, among which those that wait are looked for: no index leads to them."""

_D, _needed, _then = dependencies.c, features.alias("needed"), events.alias("then")


def became(status: Status, *others: Kind) -> ScalarSelect[int]:
    """The id of the event by which a feature came into a status, or of a later one of these kinds; NULL without any."""
    e, name = _then.c, literal_text(status)
    came = and_(e.to_status == name, or_(e.from_status.is_(None), e.from_status != name))
    return (
        select(e.id)
        .where(e.project_id == F.project_id, e.feature_id == F.id, or_(came, among(e.kind, others)) if others else came)
        .order_by(e.id.desc())
        .limit(1)
        .correlate(features)
        .scalar_subquery()
    )


# When the last dependency was satisfied. An archived one is rarely changed later.
_unblocked_at = (
    select(func.max(case((is_(Status.PASSING, _needed), _needed.c.passed_at), else_=_needed.c.updated_at)))
    .select_from(_needed)
    .join(dependencies, (_needed.c.project_id == _D.project_id) & (_needed.c.id == _D.dependency_id))
    .where(_D.project_id == F.project_id, _D.feature_id == F.id)
    .correlate(features)
    .scalar_subquery()
)


def _since(became_: ScalarSelect[int], *more: Any) -> Select[Any]:
    return (
        select(F.id, func.coalesce(events.c.at, F.created_at).label("since"), *more)
        .select_from(features)
        .outerjoin(events, events.c.id == became_)
        .where(in_project())
    )


_ready = {
    order: hot(
        _since(became(Status.PENDING, Kind.MET, Kind.DEPEND), F.not_before, _unblocked_at.label("unblocked_at"))
        .where(ready(), files_are_free())
        .order_by(*queue_order(order))
        .limit(LOOKED_AT)
    )
    for order in ("priority", "critical_path")
}
_last_id = hot(select(projects.c.next_feature_id - 1).where(projects.c.id == bindparam("project")))
_waiting = hot(
    _since(became(Status.PENDING))
    .where(F.id > bindparam("after"), is_(Status.PENDING), F.unmet_dependencies > 0)
    .order_by(F.id)
    .limit(LOOKED_AT)
)


def oldest_in_queue(tx: Transaction) -> list[Oldest]:
    """Return the feature that has been ready longest, among the first 50 in the queue.

    It has been ready since it was pending, its last dependency passed, its question was closed and its back-off ended.
    """
    rows = tx.all(_ready[tx.project.settings.order])
    return oldest(
        "ready",
        ((row["id"], max(row["since"], row["unblocked_at"] or 0, _ended(row["not_before"], tx.now))) for row in rows),
    )


def _ended(back_off: float | None, now: float) -> float:
    return back_off if back_off is not None and back_off <= now else 0


def oldest_waiting(tx: Transaction) -> list[Oldest]:
    """Return the feature that has been pending longest, among 50 with an unmet dependency or question.

    The 50 have the smallest ids among the newest 1,000 features.
    """
    rows = tx.all(_waiting, after=tx.value(_last_id) - NEWEST)
    return oldest("waiting", ((row["id"], row["since"]) for row in rows))


def oldest(state: Any, found: Iterable[tuple[int | None, Any]]) -> list[Oldest]:
    """Return the feature that has been in a state longest, from pairs of an id and a time; [] without any."""
    first = min(found, key=lambda one: one[::-1], default=None)
    return [] if first is None else [Oldest(state=state, id=first[0], since=first[1])]
