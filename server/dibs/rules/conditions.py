"""The conditions in the WHERE of transitions and queries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Double,
    FromClause,
    Integer,
    String,
    bindparam,
    case,
    literal_column,
    or_,
    select,
)

from dibs_schema.status import ConnectionEnd, Kind, Status
from dibs_schema.tables import dependencies, features

F = features.c
FARTHEST_BACK_OFF = 600
"""Seconds. A later `not_before` comes from a wrong clock, and is ignored."""

NO_CLAIM: dict[Any, Any] = dict.fromkeys(
    [
        F.claim_token,
        F.claimed_by,
        F.claim_session,
        F.claimed_at,
        F.lease_clock,
        F.lease_ends,
        F.lease_seconds,
        F.lease_expires_at,
        F.last_activity_at,
    ]
)
"""The columns of a claim, as a row without a claim has them."""
NO_PASS: dict[Any, Any] = {
    F.last_failure: bindparam("why"),
    F.testing_until: None,
    F.passed_at: None,
    F.passed_by: None,
    F.ended_token: None,  # a repeated call must not be acknowledged after the pass is undone
    F.ended_by: None,
    F.unconfirmed_since: None,
    F.confirmed_by: None,
    F.recheck_since: None,
    F.updated_at: bindparam("now"),
}
"""The values that undo a pass, for the reason of the parameter `why`."""
IS_ABANDONED = (
    (F.last_activity_at <= F.claimed_at)
    & (F.claimed_at + F.lease_seconds <= bindparam("now", type_=Double))
    & F.ended_token.is_distinct_from(F.claim_token)  # equal if a call has regained the claim
)
"""The holder has made no call about the feature since the claim, for a lease or longer."""
ATTEMPTS_USED_UP = F.attempts >= bindparam("max_attempts", type_=Integer)
FAILURES_USED_UP = F.failures + 1 >= bindparam("max_failures", type_=Integer)


def ending(kind: Kind) -> dict[Any, Any]:
    """Return the values that end a claim by a transition of that kind and store its token as `ended_token`."""
    return {F.ended_token: F.claim_token, F.ended_by: literal_text(kind), F.updated_at: bindparam("now"), **NO_CLAIM}


def disconnecting() -> dict[Any, Any]:
    """Return the values that end a claim because its holder's connection has ended.

    An abandoned claim is an attempt, and so is each if the parameter `counts` is true.
    """
    is_attempt = IS_ABANDONED | bindparam("counts", type_=Boolean)
    return {
        F.status: stuck_if(is_attempt & ATTEMPTS_USED_UP),
        F.attempts: case((is_attempt, F.attempts), else_=F.attempts - 1),
        **ending(Kind.RELEASE),
        F.ended_by: case(
            (is_attempt, literal_text(ConnectionEnd.ABANDON)), else_=literal_text(ConnectionEnd.DISCONNECT)
        ),
    }


def disconnected() -> ColumnElement[bool]:
    """SQL condition: the feature is pending because its last holder's connection ended."""
    return is_(Status.PENDING) & among(F.ended_by, ConnectionEnd)


def stuck_if(condition: ColumnElement[bool]) -> ColumnElement[str]:
    """Return the status to set: stuck if the condition holds, else pending."""
    return case((condition, literal(Status.STUCK)), else_=literal(Status.PENDING))


def is_(status: Status, table: FromClause = features) -> ColumnElement[bool]:
    """SQL condition: the feature has that status, written as a literal so that partial indexes apply."""
    return table.c.status == literal_column(f"'{status}'")


def literal(status: Status) -> ColumnElement[str]:
    """The status as a value to set."""
    return literal_column(f"'{status}'")


def literal_text(text: str) -> ColumnElement[str]:
    """A constant string, rendered into the statement."""
    return literal_column(f"'{text}'")


def in_project(table: FromClause = features) -> ColumnElement[bool]:
    """SQL condition: the row belongs to the transaction's project."""
    return table.c.project_id == bindparam("project")


def of_feature(table: FromClause) -> ColumnElement[bool]:
    """SQL condition: the row belongs to the feature bound to `feature`, in a table with a `feature_id`."""
    return in_project(table) & (table.c.feature_id == bindparam("feature"))


def this() -> ColumnElement[bool]:
    """SQL condition: the row is the feature bound to `feature`."""
    return in_project() & (F.id == bindparam("feature"))


def held() -> ColumnElement[bool]:
    """SQL condition: the feature is claimed under the token bound to `token`."""
    return is_(Status.IN_PROGRESS) & (F.claim_token == bindparam("token"))


def backed_off(table: FromClause = features) -> ColumnElement[bool]:
    """SQL condition: the feature is in the back-off period after a failure."""
    now = bindparam("now", type_=Double)
    return (table.c.not_before > now) & (table.c.not_before <= now + FARTHEST_BACK_OFF)


def leased(table: FromClause = features) -> ColumnElement[bool]:
    """SQL condition: claimed, as a range over the whole index of leases, which query planners prefer to an equality."""
    return is_(Status.IN_PROGRESS, table) & (table.c.lease_clock > literal_column("''"))


def among(column: ColumnElement[str], values: Iterable[str]) -> ColumnElement[bool]:
    """SQL condition: one of a few literals, rendered once instead of at each execution."""
    return column.in_([literal_column(f"'{value}'") for value in values])


def resting() -> ColumnElement[bool]:
    """The feature is needs_human, stuck or archived: the condition of the index `features_resting`."""
    return among(F.status, (Status.NEEDS_HUMAN, Status.STUCK, Status.ARCHIVED))


def unblocked(table: FromClause = features) -> ColumnElement[bool]:
    """SQL condition: pending without unmet dependencies, as in the queue's partial index."""
    return is_(Status.PENDING, table) & (table.c.unmet_dependencies == literal_column("0"))


def not_backed_off(table: FromClause = features) -> ColumnElement[bool]:
    """SQL condition: the feature is not in the back-off period after a failure."""
    now = bindparam("now", type_=Double)
    return or_(table.c.not_before.is_(None), table.c.not_before <= now, table.c.not_before > now + FARTHEST_BACK_OFF)


def ready(table: FromClause = features) -> ColumnElement[bool]:
    """SQL condition: the feature can be claimed now."""
    return unblocked(table) & not_backed_off(table)


def expired() -> ColumnElement[bool]:
    """The lease has expired: by its lease clock if that is this machine's, else by the wall clock.

    No holder could renew while the database was unreachable, so every lease lasts its full length from the database's
    return. A lease by the wall clock also lasts its full length from that clock's last jump.
    """
    return or_(
        (F.lease_clock == bindparam("clock"))
        & (F.lease_ends < bindparam("reading"))
        & (F.lease_seconds < bindparam("up", type_=Double)),
        of_another_clock()
        & (F.lease_expires_at < bindparam("now"))
        & (F.lease_seconds < bindparam("even", type_=Double)),
    )


def renewed_lately() -> ColumnElement[bool]:
    """A server renews the lease, and has done so within the last half of it: its connection lives."""
    half = F.lease_seconds / 2
    left = case(
        (F.lease_clock == bindparam("clock"), F.lease_ends - bindparam("reading", type_=Double)),
        else_=F.lease_expires_at - bindparam("now", type_=Double),
    )
    return F.claim_session.is_not(None) & (left > half)


def of_another_clock() -> ColumnElement[bool]:
    """SQL condition: leased on another boot or machine, as two ranges: no index supports an inequality."""
    clock = bindparam("clock", type_=String)
    return or_(F.lease_clock < clock, F.lease_clock > clock)


def depends_on_this() -> ColumnElement[bool]:
    """SQL condition: the row is a dependent of the feature bound to `feature`."""
    dependency = dependencies.c.dependency_id == bindparam("feature")
    return in_project() & F.id.in_(select(dependencies.c.feature_id).where(in_project(dependencies), dependency))


def queue_order(claim_order: str, table: FromClause = features) -> list[ColumnElement[Any]]:
    """Return the columns that sort the queue, in the order of their index."""
    c = table.c
    if claim_order == "critical_path":
        return [c.skips, c.height.desc(), c.priority, c.place, c.id]
    return [c.skips, c.priority, c.place, c.id]
