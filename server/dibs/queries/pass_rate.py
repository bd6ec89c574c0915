"""How fast features pass, when the rest will have passed, and which claims have expired lately."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Double, bindparam, case, func, select

from dibs.database.compiled import hot
from dibs.database.transaction import Row, Transaction
from dibs.queries.follow import complete
from dibs.rules.conditions import F, literal_text
from dibs_schema.answers import Counts, Estimate
from dibs_schema.status import Kind
from dibs_schema.tables import events, features

HOUR, DAY = 3_600, 86_400
"""Seconds."""
NEWEST = 10_000
"""The newest events, which are counted."""
ENOUGH = 10
"""Passes from which the end is estimated."""
LEAST = 60
"""Seconds: a rate is not taken from a shorter time."""

_E = events.c
_newest = select(_E.id, _E.at, _E.kind).where(complete).order_by(_E.xact.desc(), _E.id.desc()).limit(NEWEST).subquery()
_N = _newest.c


def _within(kind: Kind, seconds: int) -> ColumnElement[bool]:
    return (_N.kind == literal_text(kind)) & (_N.at > bindparam("now", type_=Double) - seconds)


def _counted(name: str, kind: Kind, seconds: int) -> list[ColumnElement[Any]]:
    inside = _within(kind, seconds)
    return [
        func.count(case((inside, 1))).label(name),
        func.min(case((inside, _N.at))).label(f"first_{name}"),
    ]


_rate = hot(
    select(
        func.count().label("read"),
        func.min(_N.at).label("counted_since"),
        *_counted("last_hour", Kind.PASS, HOUR),
        *_counted("last_day", Kind.PASS, DAY),
        *_counted("expired", Kind.EXPIRE, HOUR),
    )
)
_expired = (
    select(F.id, F.name, _E.at, _E.detail)
    .select_from(_newest)
    .join(events, _E.id == _N.id)
    .join(features, (F.project_id == _E.project_id) & (F.id == _E.feature_id))
    .where(_within(Kind.EXPIRE, HOUR))
    .order_by(_N.at.desc(), _N.id.desc())
    .limit(bindparam("most"))
)


def read_rate(tx: Transaction) -> Row:
    """Return how many features passed, and how many claims expired, among the newest events, and the first of each.

    `counted_since` is None if these events reach back a day, or to the beginning.
    """
    row = tx.all(_rate)[0]
    reaches_back = row["read"] < NEWEST or row["counted_since"] < tx.now - DAY
    return {**row, "counted_since": None if reaches_back else row["counted_since"]}


def expired_claims(tx: Transaction, most: int) -> list[Row]:
    """Return the claims that expired in the last hour, the latest first."""
    return list(tx.all(_expired, most=most))


def estimate(rate: Row, counts: Counts, now: float) -> Estimate | None:
    """Estimate when all remaining features will have passed, at the rate of the last hour, or else of the last day.

    Returns None if fewer than ten features have passed in that time, or if nothing is left.
    """
    left = counts.pending + counts.in_progress + counts.needs_human + counts.stuck
    name = next((one for one in ("last_hour", "last_day") if rate[one] >= ENOUGH), None)
    if name is None or not left:
        return None
    took = max(LEAST, now - rate[f"first_{name}"])
    passed = rate[name]
    return Estimate(
        ends_at=now + left * took / passed,
        left=left,
        assumes=f"all {left:,} pass at the rate of the {name.replace('_', ' ')} ({passed:,} in {round(took / 60):,} min), "
        "stuck ones and those that wait for a person included",
    )
