"""Skip a feature: move it to the end of the queue."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Integer, bindparam, func, literal_column, select, update

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, ending, held, in_project, is_, stuck_if, this
from dibs.rules.dependencies import at_no_cost_if_blocked, blockers, blockers_in
from dibs.rules.diagnosis import earlier_outcome, holder_of
from dibs.rules.events import record
from dibs_schema.answers import Acknowledgement
from dibs_schema.status import Kind, Status
from dibs_schema.tables import BELOW_EVERY_PRIORITY, features

_all = features.alias("everything")
_last = select(func.coalesce(func.max(_all.c.priority), literal_column("0")) + 1).where(
    in_project(_all), _all.c.priority > literal_column(str(BELOW_EVERY_PRIORITY))
)

_behind: dict[Any, Any] = {
    F.status: stuck_if(F.skips + 1 >= bindparam("max_skips", type_=Integer)),
    F.skips: F.skips + 1,
    F.priority: _last.scalar_subquery(),
    F.updated_at: bindparam("now"),
}
# A holder whose feature can no longer be finished, since a dependency has become unmet, may give up at no cost.
_behind_claimed: dict[Any, Any] = {
    **_behind,
    F.status: stuck_if((F.skips + 1 >= bindparam("max_skips", type_=Integer)) & (F.unmet_dependencies == 0)),
    F.skips: at_no_cost_if_blocked(F.skips, F.skips + 1),
    F.attempts: at_no_cost_if_blocked(F.attempts - 1, F.attempts),
    **ending(Kind.SKIP),
}
_changed = (F.status, F.skips, F.priority, F.unmet_dependencies)
_skip_pending = update(features).where(this(), is_(Status.PENDING)).values(_behind).returning(*_changed)
_skip_claimed = update(features).where(this(), held()).values(_behind_claimed).returning(*_changed)


def skip(tx: Transaction, by: str, feature: int, reason: str, token: str | None = None) -> Acknowledgement:
    """Move a pending or claimed feature to the end of the queue. It becomes stuck after `max_skips` skips.

    If it is claimed and a dependency has become unmet, it counts neither as a skip nor as an attempt.

    Raises ClaimLost, TokenRequired, or the refusal of the status that the feature has now.
    """
    by = holder_of(tx, feature, token) or by
    most = tx.project.settings.max_skips
    if token is None:
        row, source = tx.first(_skip_pending, feature=feature, max_skips=most), Status.PENDING
    else:
        row, source = tx.first(_skip_claimed, feature=feature, token=token, max_skips=most), Status.IN_PROGRESS
    if row is None:
        return _skipped(feature, earlier_outcome(tx, feature, token, Kind.SKIP))
    detail = {"reason": reason, "status": row["status"], "skips": row["skips"], "priority": row["priority"]}
    if source is Status.IN_PROGRESS:
        detail |= blockers(tx, feature, row["unmet_dependencies"])
    record(tx, by, Kind.SKIP, feature, source, row["status"], **detail)
    return _skipped(feature, detail)


def _skipped(feature: int, detail: dict[str, Any]) -> Acknowledgement:
    return Acknowledgement(
        id=feature,
        status=detail["status"],
        skips=detail["skips"],
        priority=detail["priority"],
        **blockers_in(detail),
    )
