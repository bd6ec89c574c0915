"""Regression tests: the least recently tested features that pass, to one tester at a time."""

from __future__ import annotations

from sqlalchemy import String, bindparam, or_, select, update

from dibs.database.transaction import Transaction
from dibs.queries.handover import work_of
from dibs.rules.conditions import F, in_project, is_
from dibs.verbs.verify import asks_another
from dibs_schema.answers import Testing
from dibs_schema.status import Status
from dibs_schema.tables import features

RESERVED = 1800
"""Seconds for which no other tester gets the same feature."""

WHOLE = 9_000
"""Bytes of all the features in one answer."""

_free = or_(F.testing_until.is_(None), F.testing_until <= bindparam("now"))
_least_recent = (
    select(F.id)
    .where(in_project(), is_(Status.PASSING), _free)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_by_test = _least_recent.order_by(F.last_tested_at.asc().nulls_first(), F.id)
_to_confirm = _least_recent.where(
    F.unconfirmed_since.is_not(None), F.passed_by.is_distinct_from(bindparam("by", type_=String))
).order_by(F.unconfirmed_since, F.id)
_reserve = (
    update(features)
    .where(in_project(), is_(Status.PASSING), _free, F.id.in_(bindparam("ids", expanding=True)))
    .values(testing_until=bindparam("now") + RESERVED)
    .returning(*features.c)
)


def take_for_regression(tx: Transaction, most: int, by: str | None = None) -> Testing:
    """Reserve up to `most` passing features for half an hour, the least recently tested first.

    Where passes wait to be confirmed, those come first that `by` may confirm, the oldest pass first.
    """
    ids = [row["id"] for row in tx.all(_to_confirm, most=most, by=by)] if asks_another(tx) else []
    if len(ids) < most:
        ids += [row["id"] for row in tx.all(_by_test, most=most) if row["id"] not in ids][: most - len(ids)]
    if not ids:
        return Testing(
            message="There is nothing to test: no feature is passing, or other testers have all of them."
        )
    rows = sorted(tx.all(_reserve, ids=ids), key=lambda row: ids.index(row["id"]))
    each = WHOLE // len(rows)  # bytes; half of what is left beside the frame is the feature's own text
    return Testing(
        features=[work_of(tx, row, text=each // 3, room=each // 4, name=each // 6) for row in rows],
        testing_until=tx.now + RESERVED,
    )
