"""The first features of the queue that can be claimed: ready, and on no file of a live claim.

The areas of live claims are read once for all features. The guard of a claim, in SQL, compares one feature's areas with
the areas of each live claim.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, exists, func, select

from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.rules.conditions import in_project, queue_order, ready
from dibs.rules.file_areas import ends_meet, index_of_live_areas, live_areas
from dibs_schema.file_areas import AreaIndex
from dibs_schema.tables import areas, features

FIRST_PAGE, LONGEST_PAGE = 64, 4_096
"""Rows of the queue that are read at once. Each page is four times as long as the one before."""

_queue = features.alias("queue")


@cache
def queue(claim_order: str, *, by_category: bool) -> Select[Any]:
    """Return the ids of the ready features (of `category_`), in the order of the queue."""
    ids = select(_queue.c.id).where(in_project(_queue), ready(_queue))
    if claim_order == "critical_path":
        ids = ids.where(_queue.c.height.is_not(None))
    if by_category:
        ids = ids.where(_queue.c.category == bindparam("category_"))
    return ids.order_by(*queue_order(claim_order, _queue))


_live = live_areas().distinct().cte("live")
_lengths = select(func.length(_live.c.beginning).label("length")).distinct().cte("lengths")
_own = areas.alias("own_areas")
_inside_live_area = (
    exists()
    .where(
        in_project(_own),
        _own.c.feature_id == _queue.c.id,
        _live.c.beginning == func.substr(_own.c.beginning, 1, _lengths.c.length),
        ends_meet(_own.c.ending, _live.c.ending),
    )
    .correlate(_queue)
)
"""An area of the feature begins with the beginning of a live one. An index of the live ones finds it."""


@cache
def queue_with_areas(claim_order: str, *, by_category: bool) -> Select[Any]:
    """Return `length` rows of the queue after the first `start`, one for each area; NULL means no area.

    Features with an area inside a live one are left out: they are most of the features that are held back.
    """
    own = in_project(areas) & (areas.c.feature_id == _queue.c.id)
    rows = queue(claim_order, by_category=by_category).outerjoin(areas, own).where(~_inside_live_area)
    page = rows.limit(bindparam("length")).offset(bindparam("start"))
    return hot(page.add_columns(areas.c.beginning, areas.c.ending))


def claimable(tx: Transaction, category: str | None, most: int) -> list[int]:
    """Return at most `most` first features of the queue (of `category`) whose files no live claim may change."""
    within = {} if category is None else {"category_": category}
    statement = queue_with_areas(tx.project.settings.order, by_category=category is not None)
    live: AreaIndex | None = None
    read: dict[int, None] = {}
    held_back: set[int] = set()
    start, length = 0, FIRST_PAGE
    while True:
        rows = tx.tuples(statement, start=start, length=length, **within)
        read |= dict.fromkeys([feature for feature, _, _ in rows])
        if any(ending is not None for _, _, ending in rows):
            live = index_of_live_areas(tx) if live is None else live
            held_back |= live.overlapping(rows)
        found = [feature for feature in read if feature not in held_back]
        if len(rows) < length or len(found) > most:  # the last feature may have more areas on the next page
            return found[:most]
        start, length = start + length, min(4 * length, LONGEST_PAGE)
