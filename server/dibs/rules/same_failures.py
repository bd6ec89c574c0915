"""Failures of a feature for the same reason in a row: one more attempt would change nothing."""

from __future__ import annotations

from sqlalchemy import select

from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.rules.conditions import among, of_feature
from dibs_schema.folding import mask
from dibs_schema.status import Kind
from dibs_schema.tables import events

_E = events.c

_last = hot(
    select(_E.kind, _E.detail)
    .where(of_feature(events), among(_E.kind, (Kind.FAIL, Kind.EXPIRE, Kind.PASS, Kind.REGRESS, Kind.RETRY)))
    .order_by(_E.id.desc())
    .limit(1)
)


def failures_in_a_row(tx: Transaction, feature: int, reason: str) -> int:
    """Return how many attempts in a row failed for this reason, including the present one."""
    row = tx.first(_last, feature=feature)
    if row is None or row["kind"] != Kind.FAIL or mask(row["detail"]["reason"]) != mask(reason):
        return 1
    return int(row["detail"].get("in_a_row", 1)) + 1
