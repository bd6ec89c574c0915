"""Release a claim without an outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update

from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.rules.conditions import ATTEMPTS_USED_UP, F, ending, held, in_project, is_, leased, literal, stuck_if, this
from dibs.rules.diagnosis import earlier_outcome, holder_of
from dibs.rules.events import record
from dibs_schema.answers import Acknowledgement
from dibs_schema.status import Kind, Status
from dibs_schema.tables import features

_release_values: dict[Any, Any] = {F.status: stuck_if(ATTEMPTS_USED_UP), **ending(Kind.RELEASE)}
_undeliver = (
    update(features)
    .where(in_project(), leased(), held())
    .values({F.status: literal(Status.PENDING), F.attempts: F.attempts - 1, **ending(Kind.RELEASE)})
    .returning(F.id)
)
_release = hot(update(features).where(this(), held()).values(_release_values).returning(F.status, F.attempts))
_force_release = (
    update(features).where(this(), is_(Status.IN_PROGRESS)).values(_release_values).returning(F.status, F.attempts)
)
_unclaimed = select(F.status, F.attempts).where(this(), ~is_(Status.IN_PROGRESS))


def release(tx: Transaction, by: str, feature: int, token: str | None, *, force: bool = False) -> Acknowledgement:
    """Release a claim without an outcome. `force`, which is for planners, needs no token.

    Without a token, a feature that nobody has claimed is as the caller wants it: nothing changes.
    Raises NotFound, ClaimLost, TokenRequired.
    """
    by = holder_of(tx, feature, token) or by
    row, most = None, tx.project.settings.max_attempts
    if force:
        row = tx.first(_force_release, feature=feature, max_attempts=most)
    elif token is not None:
        row = tx.first(_release, feature=feature, token=token, max_attempts=most)
    if row is None and token is None and (unclaimed := tx.first(_unclaimed, feature=feature)) is not None:
        return _released(feature, unclaimed)
    if row is None:
        return _released(feature, earlier_outcome(tx, feature, token, Kind.RELEASE))
    detail = {"status": row["status"], "attempts": row["attempts"], "forced": force or None}
    record(tx, by, Kind.RELEASE, feature, Status.IN_PROGRESS, row["status"], **detail)
    return _released(feature, detail)


def _released(feature: int, detail: Mapping[str, Any]) -> Acknowledgement:
    return Acknowledgement(
        id=feature, status=detail.get("status", Status.PENDING.value), attempts=detail.get("attempts", 0)
    )


def undeliver(tx: Transaction, by: str, token: str) -> bool:
    """Undo a claim whose answer was not delivered, so that it counts as no attempt. Returns False if it has ended."""
    row = tx.first(_undeliver, token=token)
    if row is None:
        return False
    reason = "the answer was not delivered"
    record(tx, by, Kind.RELEASE, row["id"], Status.IN_PROGRESS, Status.PENDING, reason=reason)
    return True
