"""Reads what people wrote when they did not accept a pass, and how often they have returned a feature."""

from __future__ import annotations

from sqlalchemy import func, select

from dibs.database.compiled import hot
from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import among, literal_text, of_feature
from dibs_schema.status import Kind
from dibs_schema.tables import events

_E = events.c

NOT_ACCEPTED = (Kind.RETURN, Kind.REJECT)
"""The kinds of events by which a person undoes a pass."""
REVIEWED = (Kind.PASS, *NOT_ACCEPTED)
"""The kinds of events of which the latest tells whether feedback is still to be heeded."""

_latest = (
    select(_E.at, _E.agent, _E.kind, _E.detail)
    .where(of_feature(events), among(_E.kind, REVIEWED))
    .order_by(_E.id.desc())
    .limit(1)
)
_returns = hot(select(func.count()).where(of_feature(events), _E.kind == literal_text(Kind.RETURN)))


def latest_feedback(tx: Transaction, feature: int) -> Row | None:
    """Return the event by which a person undid the latest pass of a feature, or None."""
    row = tx.first(_latest, feature=feature)
    return row if row is not None and row["kind"] in NOT_ACCEPTED else None


def times_returned(tx: Transaction, feature: int) -> int:
    """Return how often a person has returned a feature."""
    return int(tx.value(_returns, feature=feature))
