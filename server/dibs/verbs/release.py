"""Release a claim without an outcome."""

from __future__ import annotations

from typing import Any, NoReturn

from sqlalchemy import Double, bindparam, select, update

from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.rules.conditions import ATTEMPTS_USED_UP, F, ending, held, in_project, is_, leased, literal, stuck_if, this
from dibs.rules.dependencies import at_no_cost_if_blocked, blockers, blockers_in
from dibs.rules.diagnosis import earlier_outcome, find, holder_of, refuse_lost
from dibs.rules.events import record
from dibs_schema.answers import Acknowledgement, iso
from dibs_schema.next_step import Step
from dibs_schema.refusals import InvalidInput
from dibs_schema.row_version import Version
from dibs_schema.status import Kind, Status
from dibs_schema.tables import features

# A holder whose feature can no longer be finished, since a dependency has become unmet, may give up at no cost.
_release_values: dict[Any, Any] = {
    F.status: stuck_if(ATTEMPTS_USED_UP & (F.unmet_dependencies == 0)),
    F.attempts: at_no_cost_if_blocked(F.attempts - 1, F.attempts),
    **ending(Kind.RELEASE),
}
_released_columns = (F.status, F.attempts, F.unmet_dependencies)
_undeliver = (
    update(features)
    .where(in_project(), leased(), held())
    .values({F.status: literal(Status.PENDING), F.attempts: F.attempts - 1, **ending(Kind.RELEASE)})
    .returning(F.id)
)
_release = hot(update(features).where(this(), held()).values(_release_values).returning(*_released_columns))
_force_release = (
    update(features).where(this(), is_(Status.IN_PROGRESS)).values(_release_values).returning(*_released_columns)
)
_as_seen = (F.claimed_at >= bindparam("start", type_=Double)) & (F.claimed_at < bindparam("end", type_=Double))
_unclaimed = select(F.status, F.attempts).where(this(), ~is_(Status.IN_PROGRESS))

UNCLAIMED = "Nobody had claimed it: nothing was changed."


def release(
    tx: Transaction, by: str, feature: int, token: str | None, *, force: bool = False, seen: Version | None = None
) -> Acknowledgement:
    """Release a claim without an outcome. `force`, which is for planners, needs no token.

    With `force` and `seen`, only the claim that began at the `seen` time is released.

    Without a token, releasing an unclaimed feature changes nothing, and the answer says so. A release counts as no
    attempt if a dependency of the feature has become unmet.

    Raises NotFound, ClaimLost, TokenRequired, and InvalidInput if the feature's claim is not the seen one.
    """
    by = holder_of(tx, feature, token) or by
    row, most = None, tx.project.settings.max_attempts
    if force and seen is not None:
        row = tx.first(_force_release.where(_as_seen), feature=feature, max_attempts=most, **seen._asdict())
    elif force:
        row = tx.first(_force_release, feature=feature, max_attempts=most)
    elif token is not None:
        row = tx.first(_release, feature=feature, token=token, max_attempts=most)
    if row is None and token is None and (unclaimed := tx.first(_unclaimed, feature=feature)) is not None:
        return Acknowledgement(id=feature, hint=UNCLAIMED, **unclaimed)
    if row is None and seen is not None:
        _refuse_another_claim(tx, feature)
    if row is None:
        return _released(feature, earlier_outcome(tx, feature, token, Kind.RELEASE))
    detail = {"status": row["status"], "attempts": row["attempts"], "forced": force or None}
    detail |= blockers(tx, feature, row["unmet_dependencies"])
    record(tx, by, Kind.RELEASE, feature, Status.IN_PROGRESS, row["status"], **detail)
    return _released(feature, detail)


def _refuse_another_claim(tx: Transaction, feature: int) -> NoReturn:
    found = find(tx, feature)
    holder, since = found["claimed_by"], iso(found["claimed_at"])
    raise InvalidInput(
        f"Feature {feature} has another claim than the one you saw: {holder} has held it since {since}. "
        "Nothing was changed.",
        next=[Step("feature_get_by_id", {"feature_id": feature}, "to read it again")],
        field="unless_claimed_since",
        id=feature,
        holder=holder,
        since=since,
    )


def _released(feature: int, detail: dict[str, Any]) -> Acknowledgement:
    return Acknowledgement(
        id=feature,
        status=detail.get("status", Status.PENDING.value),
        attempts=detail.get("attempts", 0),
        **blockers_in(detail),
    )


def put_back(tx: Transaction, feature: int, token: str, reason: str) -> None:
    """End a claim so that it counts as no attempt, since nothing is wrong with the feature. Raises ClaimLost."""
    by = holder_of(tx, feature, token)
    if by is None or tx.first(_undeliver, token=token) is None:
        refuse_lost(find(tx, feature))
    record(tx, by, Kind.RELEASE, feature, Status.IN_PROGRESS, Status.PENDING, reason=reason)


def undeliver(tx: Transaction, by: str, token: str) -> bool:
    """Undo a claim whose answer was not delivered, so that it counts as no attempt. Returns False if it has ended."""
    row = tx.first(_undeliver, token=token)
    if row is None:
        return False
    reason = "the answer was not delivered"
    record(tx, by, Kind.RELEASE, row["id"], Status.IN_PROGRESS, Status.PENDING, reason=reason)
    return True
