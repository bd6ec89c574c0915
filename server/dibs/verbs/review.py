"""Review a passing feature as a person: approve it, return it to the queue, or reject it."""

from __future__ import annotations

from typing import NoReturn

from sqlalchemy import update

from dibs.database.transaction import Transaction
from dibs.rules.conditions import NO_PASS, F, is_, literal, this
from dibs.rules.dependencies import block_dependents, end_recheck
from dibs.rules.diagnosis import find
from dibs.rules.events import record
from dibs.rules.feedback import times_returned
from dibs.verbs.verify import confirmation
from dibs_schema.answers import Acknowledgement
from dibs_schema.next_step import Step
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Kind, Status
from dibs_schema.tables import features

NEXT_WORKER = "The next claim brings your feedback."

_passing = update(features).where(this(), is_(Status.PASSING))
_return = _passing.values({F.status: literal(Status.PENDING), **NO_PASS})
_reject = _passing.values({F.status: literal(Status.STUCK), **NO_PASS})


def approve(tx: Transaction, by: str, feature: int) -> Acknowledgement:
    """Confirm a pass, whoever made it, and end its recheck.

    Raises NotFound, and InvalidInput if it awaits neither a confirmation nor a recheck.
    """
    confirmed = tx.run(confirmation, feature=feature, by=by) > 0
    rechecked = end_recheck(tx, feature)
    if not confirmed and not rechecked:
        status = find(tx, feature)["status"]
        raise InvalidInput(
            f"Feature {feature} is {status}, and waits neither for confirmation nor for a recheck.", field="feature_id"
        )
    tx.wakes = True  # the project may be complete now
    done = {"confirmed": confirmed or None, "rechecked": rechecked or None}
    record(tx, by, Kind.VERIFY, feature, Status.PASSING, Status.PASSING, **done, approved=True)
    return Acknowledgement(id=feature, status=Status.PASSING.value)


def return_to_queue(tx: Transaction, by: str, feature: int, feedback: str) -> Acknowledgement:
    """Undo a pass: the feature is pending, and its next claim brings the feedback. Raises NotFound, InvalidInput."""
    if not tx.run(_return, feature=feature, why=feedback):
        _refuse(tx, feature, "returned")
    block_dependents(tx, by, feature)
    times = times_returned(tx, feature) + 1
    record(tx, by, Kind.RETURN, feature, Status.PASSING, Status.PENDING, reason=feedback, times_returned=times)
    return Acknowledgement(id=feature, status=Status.PENDING.value, times_returned=times, hint=NEXT_WORKER)


def reject(tx: Transaction, by: str, feature: int, reason: str) -> Acknowledgement:
    """Undo a pass: the feature is stuck until a retry. Raises NotFound, InvalidInput."""
    if not tx.run(_reject, feature=feature, why=reason):
        _refuse(tx, feature, "rejected")
    block_dependents(tx, by, feature)
    record(tx, by, Kind.REJECT, feature, Status.PASSING, Status.STUCK, reason=reason)
    retry = Step("feature_update", {"feature_id": feature, "retry": True}, "to return it to the queue")
    return Acknowledgement(id=feature, status=Status.STUCK.value, next=(retry,))


def _refuse(tx: Transaction, feature: int, what: str) -> NoReturn:
    status = find(tx, feature)["status"]
    raise InvalidInput(f"Feature {feature} is {status}; only a passing feature can be {what}.", field="feature_id")
