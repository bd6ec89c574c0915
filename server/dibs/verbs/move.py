"""Move a feature in the queue: before another one, to the front, or to the end.

Features of one priority are in the order of `place`. A feature that moves before another one gets that feature's
priority, and a place halfway between it and its predecessor. So a move writes one row. Only if there is no number in
between, the earlier places are spread first, which changes no order.
"""

from __future__ import annotations

from itertools import count
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Update,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import F, in_project, this
from dibs.rules.diagnosis import find
from dibs.rules.events import record
from dibs_schema.answers import Acknowledgement
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Kind
from dibs_schema.tables import BELOW_EVERY_PRIORITY, PLACE_GAP, features

End = Literal["front", "end"]

BY_CRITICAL_PATH = "Longer chains of dependents still come first: the project's order is critical_path."
SPREAD = 64
"""The number of features that are spread at first, if there is no room between two of them."""
LEAST_STEP = 1_024
"""The least distance of places that were spread. Ten moves to one place halve it to 1."""

OWN_PLACE = cast(F.id, BigInteger) * PLACE_GAP
"""The place of a feature that was never moved: by its id."""

_A, _O = features.alias("anchor"), features.alias("others")
_anchor_id = bindparam("before", type_=Integer)
_others = in_project(_O), _O.c.id != bindparam("feature")
_others_before = (
    *_others,
    _O.c.priority == _A.c.priority,
    _O.c.place <= _A.c.place,
    tuple_(_O.c.place, _O.c.id) < tuple_(_A.c.place, _A.c.id),
)
_previous = select(func.max(_O.c.place)).where(*_others_before).correlate(_A).scalar_subquery()
_spot = (
    select(_A.c.id, _A.c.priority, _A.c.skips, _A.c.place, _previous.label("previous"))
    .where(in_project(_A), _A.c.id == _anchor_id)
    .subquery("spot")
)
_S = _spot.c
_is_before = (
    (F.priority == _S.priority)
    & (F.skips <= _S.skips)
    & (F.place < _S.place)
    & or_(_S.previous.is_(None), F.place > _S.previous)
)
_has_room = or_(_S.previous.is_(None), _S.place - _S.previous > 1)
_moved = (F.status, F.priority, F.skips)
_stamp: dict[Any, Any] = {F.updated_at: bindparam("now")}
_move_before = (
    update(features)
    .where(this(), _has_room, ~_is_before)
    .values(
        {
            F.priority: _S.priority,
            F.skips: case((F.skips < _S.skips, F.skips), else_=_S.skips),
            F.place: func.coalesce(_S.previous + (_S.place - _S.previous) // 2, _S.place - PLACE_GAP),
            **_stamp,
        }
    )
    .returning(*_moved)
)
_place_of_anchor = select(_A.c.place).where(in_project(_A), _A.c.id == _anchor_id)
_is_there = select(F.id).where(this(), _is_before)

# The nearest ones before the anchor come first.
_nearest = (_O.c.place.desc(), _O.c.id.desc())
_before_anchor = select(_O.c.id, _O.c.place).join(_A, in_project(_A) & (_A.c.id == _anchor_id)).where(*_others_before)
_beyond = _before_anchor.with_only_columns(_O.c.place).order_by(*_nearest).limit(1).offset(bindparam("most"))
_ranked = (
    _before_anchor.with_only_columns(_O.c.id, func.row_number().over(order_by=_nearest).label("rank"))
    .order_by(*_nearest)
    .limit(bindparam("most"))
    .subquery("ranked")
)
_spread = (
    update(features)
    .where(in_project(), F.id == _ranked.c.id)
    .values({F.place: bindparam("top", type_=BigInteger) - _ranked.c.rank * bindparam("step", type_=BigInteger)})
)


def _to(priority: ColumnElement[int], skips: ColumnElement[int], is_there: ColumnElement[bool]) -> Update:
    """Return the statement that moves a feature to an end of the queue, unless it is there."""
    return (
        update(features)
        .where(this(), ~is_there)
        .values({F.priority: priority, F.skips: skips, **_stamp})
        .returning(*_moved)
    )


def _of_others(function: Any) -> ColumnElement[int]:
    """The least or the greatest priority of all other features; the feature's own if there are none."""
    above = _O.c.priority > literal_column(str(BELOW_EVERY_PRIORITY))
    return select(function(_O.c.priority)).where(*_others, above).scalar_subquery()


_least, _greatest = _of_others(func.min), _of_others(func.max)
_to_end: dict[End, Update] = {
    "front": _to(func.coalesce(_least - 1, F.priority), literal_column("0"), (F.skips == 0) & (F.priority < _least)),
    "end": _to(func.coalesce(_greatest + 1, F.priority), F.skips, F.priority > _greatest),
}


def move_before(tx: Transaction, by: str, feature: int, before: int) -> Acknowledgement:
    """Move a feature before another one, in any state, unless it is there. Its skips are lowered to the other's.

    Raises NotFound, and InvalidInput if both are the same.
    """
    if feature == before:
        raise InvalidInput(f"Feature {feature} cannot come before itself.", field="before")
    row = tx.first(_move_before, feature=feature, before=before)
    if row is None:
        find(tx, before)
        if tx.value(_is_there, feature=feature, before=before) is None:
            find(tx, feature)
            _make_room(tx, feature, before)
            row = tx.first(_move_before, feature=feature, before=before)
    return _acknowledge(tx, by, feature, row, before=before)


def move_to(tx: Transaction, by: str, feature: int, end: End) -> Acknowledgement:
    """Move a feature to the front of the queue, without its skips, or to the end, unless it is there. Raises NotFound."""
    return _acknowledge(tx, by, feature, tx.first(_to_end[end], feature=feature), to=end)


def _acknowledge(tx: Transaction, by: str, feature: int, row: Row | None, **where: Any) -> Acknowledgement:
    """Record the move, if there was one, and acknowledge it. Raises NotFound."""
    hint = BY_CRITICAL_PATH if tx.project.settings.order == "critical_path" else None
    if row is None:
        return Acknowledgement(id=feature, status=find(tx, feature)["status"], hint=hint)
    record(tx, by, Kind.UPDATE, feature, row["status"], row["status"], fields=["order"], **where)
    return Acknowledgement(
        id=feature,
        status=row["status"],
        priority=row["priority"],
        skips=row["skips"],
        changed=["order"],
        hint=hint,
    )


def _make_room(tx: Transaction, feature: int, before: int) -> None:
    """Spread the places of the features before another one: as many features as it takes to get the least distance."""
    top = tx.value(_place_of_anchor, before=before)
    for most in (SPREAD * 4**times for times in count()):
        bottom = tx.value(_beyond, feature=feature, before=before, most=most)
        step = PLACE_GAP if bottom is None else (top - bottom) // (most + 1)
        if step >= LEAST_STEP:
            tx.run(_spread, feature=feature, before=before, most=most, top=top, step=step)
            return
