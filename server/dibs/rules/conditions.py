"""The conditions that stand in the WHERE of a move."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Double, FromClause, String, bindparam, literal_column, or_, select

from dibs_schema.status import Status
from dibs_schema.tables import dependencies, features

F = features.c
FARTHEST_BACK_OFF = 600
"""Seconds. A `not_before` further ahead than any back-off came from a clock that was wrong, and is ignored."""

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
"""What a row without a claim holds in the columns of one."""


def is_(status: Status, table: FromClause = features) -> ColumnElement[bool]:
    """The status as a literal, so that the partial indexes serve."""
    return table.c.status == literal_column(f"'{status}'")


def literal(status: Status) -> ColumnElement[str]:
    """The status as a value to set."""
    return literal_column(f"'{status}'")


def literal_text(text: str) -> ColumnElement[str]:
    """A text of ours, rendered into the statement."""
    return literal_column(f"'{text}'")


def in_project(table: FromClause = features) -> ColumnElement[bool]:
    """In the transaction's project."""
    return table.c.project_id == bindparam("project")


def this() -> ColumnElement[bool]:
    """The feature of the parameter `feature`."""
    return in_project() & (F.id == bindparam("feature"))


def held() -> ColumnElement[bool]:
    """Claimed, with the token of the parameter `token`."""
    return is_(Status.IN_PROGRESS) & (F.claim_token == bindparam("token"))


def backed_off(table: FromClause = features) -> ColumnElement[bool]:
    """Waiting out a failure."""
    now = bindparam("now", type_=Double)
    return (table.c.not_before > now) & (table.c.not_before <= now + FARTHEST_BACK_OFF)


def leased(table: FromClause = features) -> ColumnElement[bool]:
    """Claimed: a range over the whole index of leases, since planners prefer a range to a mere match."""
    return is_(Status.IN_PROGRESS, table) & (table.c.lease_clock > literal_column("''"))


def among(column: ColumnElement[str], values: Iterable[str]) -> ColumnElement[bool]:
    """One of a few literals, rendered once and not at each execution."""
    return column.in_([literal_column(f"'{value}'") for value in values])


def resting() -> ColumnElement[bool]:
    """Waiting for a person or a planner, or off the board: what the index of those holds."""
    return among(F.status, (Status.NEEDS_HUMAN, Status.STUCK, Status.ARCHIVED))


def unblocked(table: FromClause = features) -> ColumnElement[bool]:
    """Pending, with no unmet dependency: what the queue's index holds."""
    return is_(Status.PENDING, table) & (table.c.unmet_dependencies == literal_column("0"))


def not_backed_off(table: FromClause = features) -> ColumnElement[bool]:
    """Not waiting out a failure."""
    now = bindparam("now", type_=Double)
    return or_(
        table.c.not_before.is_(None), table.c.not_before <= now, table.c.not_before > now + FARTHEST_BACK_OFF
    )


def ready(table: FromClause = features) -> ColumnElement[bool]:
    """Can be claimed now."""
    return unblocked(table) & not_backed_off(table)


def expired() -> ColumnElement[bool]:
    """The lease has run out: by its own clock where that is ours, else by the wall clock.

    While the database was away nobody could renew, so that a lease counts whole from its return; and one that
    goes by the wall clock, from that clock's last jump: whoever lives has renewed it by then.
    """
    return or_(
        (F.lease_clock == bindparam("clock"))
        & (F.lease_ends < bindparam("reading"))
        & (F.lease_seconds < bindparam("up", type_=Double)),
        of_another_clock()
        & (F.lease_expires_at < bindparam("now"))
        & (F.lease_seconds < bindparam("even", type_=Double)),
    )


def of_another_clock() -> ColumnElement[bool]:
    """Leased on another boot or machine; two ranges, since an index serves no inequality."""
    clock = bindparam("clock", type_=String)
    return or_(F.lease_clock < clock, F.lease_clock > clock)


def depends_on_this() -> ColumnElement[bool]:
    """The features that depend on the one of the parameter `feature`."""
    edges = dependencies.c
    dependents = select(edges.feature_id).where(
        edges.project_id == bindparam("project"), edges.dependency_id == bindparam("feature")
    )
    return in_project() & F.id.in_(dependents)
