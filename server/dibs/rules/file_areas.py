"""File areas: nobody can claim a feature while another claimed feature may change the same files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, bindparam, delete, exists, func, or_, select

from dibs.database.compiled import hot
from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import F, in_project, leased, of_feature, ready
from dibs_schema.file_areas import Area, AreaIndex, areas_of
from dibs_schema.tables import areas, features

Text = ColumnElement[str]

_any, _mine, _theirs, _holder = (
    areas.alias("any_areas"),
    areas.alias("own_areas"),
    areas.alias("live_areas"),
    features.alias("holder"),
)


def overlap(one: tuple[Text, Text], other: tuple[Text, Text]) -> ColumnElement[bool]:
    """SQL condition: two areas, each a beginning and an ending, can have a file in common.

    It uses substr instead of LIKE: nothing needs escaping, and both engines distinguish upper and lower case.
    """
    (beginning, ending), (others_beginning, others_ending) = one, other
    begins = or_(_is_start(beginning, others_beginning), _is_start(others_beginning, beginning))
    return begins & ends_meet(ending, others_ending)


def ends_meet(ending: Text, other: Text) -> ColumnElement[bool]:
    """SQL condition: one of two endings ends with the other."""
    return or_(_is_end(ending, other), _is_end(other, ending))


def _is_start(text: Text, start: Text) -> ColumnElement[bool]:
    return func.substr(text, 1, func.length(start)) == start


def _is_end(text: Text, end: Text) -> ColumnElement[bool]:
    # If `text` is shorter than `end`, substr returns an even shorter string on both engines.
    return func.substr(text, func.length(text) - func.length(end) + 1) == end


_meet = overlap((_mine.c.beginning, _mine.c.ending), (_theirs.c.beginning, _theirs.c.ending))


def _claimed(*shown: ColumnElement[Any]) -> Select[Any]:
    """The areas of live claims."""
    on_holder = (_theirs.c.project_id == _holder.c.project_id) & (_theirs.c.feature_id == _holder.c.id)
    return select(*shown).select_from(_holder).join(_theirs, on_holder).where(in_project(_holder), leased(_holder))


def live_areas() -> Select[Any]:
    """Return the query of the areas of all live claims: each a beginning and an ending."""
    return _claimed(_theirs.c.beginning, _theirs.c.ending)


def _live(*shown: ColumnElement[Any]) -> Select[Any]:
    """The areas of live claims that overlap the feature's own."""
    return _claimed(*shown).where(_meet)


def files_are_free(table: FromClause = features) -> ColumnElement[bool]:
    """SQL condition: no live claim may change the feature's files. One index lookup for a feature without paths.

    The condition reads only areas, so a query of the queue need not read the feature's row.
    """
    meeting = _live(_theirs.c.feature_id).correlate(_mine).exists()
    own = exists().where(in_project(_mine), _mine.c.feature_id == table.c.id, meeting)
    return ~own.correlate(table)


_with_areas = select(_any.c.feature_id).where(in_project(_any))


def files_are_claimed() -> ColumnElement[bool]:
    """SQL condition: a live claim may change the feature's files. It starts from the features that have areas."""
    return F.id.in_(_with_areas) & ~files_are_free()


def held_back() -> ColumnElement[bool]:
    """SQL condition: the feature is ready, except that a live claim may change its files."""
    return ready() & files_are_claimed()


_live_areas = hot(live_areas())
_ready_areas = hot(
    select(_any.c.feature_id, _any.c.beginning, _any.c.ending)
    .join(features, (F.project_id == _any.c.project_id) & (F.id == _any.c.feature_id))
    .where(in_project(), ready())
)
_ready_areas_of_category = hot(_ready_areas.where(F.category == bindparam("category_")))
_holders = (
    _live(_mine.c.feature_id.label("held"), _holder.c.id, _holder.c.claimed_by)
    .join(_mine, _mine.c.project_id == _holder.c.project_id)
    .where(_mine.c.feature_id.in_(bindparam("ids", expanding=True)))
    .order_by(_mine.c.feature_id, _holder.c.id)
)
_forget = delete(areas).where(of_feature(areas))


def index_of_live_areas(tx: Transaction) -> AreaIndex:
    """Return the areas of all live claims."""
    return AreaIndex(tx.tuples(_live_areas))


def count_held_back(tx: Transaction, category: str | None = None) -> int:
    """Return how many features (of `category`) are ready except that live claims may change their files."""
    live = index_of_live_areas(tx)
    if not live:
        return 0
    rows = tx.tuples(_ready_areas) if category is None else tx.tuples(_ready_areas_of_category, category_=category)
    return len(live.overlapping(rows))


def holders_of(tx: Transaction, ids: Sequence[int]) -> dict[int, Row]:
    """Return by feature the `id` and `claimed_by` of the first live claim that may change its files."""
    found: dict[int, Row] = {}
    for row in tx.all(_holders, ids=list(ids)) if ids else []:
        found.setdefault(row["held"], row)
    return found


def add_areas(tx: Transaction, areas_by_feature: Mapping[int, Iterable[Area]]) -> None:
    """Store the areas of new features, by their ids."""
    rows = [
        {"project_id": tx.project.id, "feature_id": feature, "beginning": beginning, "ending": ending}
        for feature, own in areas_by_feature.items()
        for beginning, ending in own
    ]
    tx.insert(areas, rows)


def replace_areas(tx: Transaction, feature: int, paths: Iterable[str] | None) -> None:
    """Replace a feature's areas with the areas of its new paths."""
    tx.run(_forget, feature=feature)
    add_areas(tx, {feature: areas_of(paths or ())})
    tx.wakes = True  # this feature, or one that waited for its files, may be ready now
