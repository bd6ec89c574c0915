"""File areas: a feature is not claimed while another claimed feature may change the same files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, bindparam, delete, exists, func, insert, or_, select

from dibs.database.compiled import hot
from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import F, in_project, leased, ready
from dibs_schema.file_areas import areas_of
from dibs_schema.tables import areas, features

Text = ColumnElement[str]

_any, _mine, _theirs, _holder = (
    areas.alias("any_areas"),
    areas.alias("own_areas"),
    areas.alias("live_areas"),
    features.alias("holder"),
)


def overlap(one: tuple[Text, Text], other: tuple[Text, Text]) -> ColumnElement[bool]:
    """Two areas, each a beginning and an ending, can have a file in common.

    It uses substr instead of LIKE: nothing needs escaping, and both engines distinguish upper and lower case.
    """
    (beginning, ending), (others_beginning, others_ending) = one, other
    return _begins(beginning, others_beginning) & _ends(ending, others_ending)


def _begins(one: Text, other: Text) -> ColumnElement[bool]:
    return or_(func.substr(one, 1, func.length(other)) == other, func.substr(other, 1, func.length(one)) == one)


def _ends(one: Text, other: Text) -> ColumnElement[bool]:
    return or_(_is_end(one, other), _is_end(other, one))


def _is_end(long: Text, short: Text) -> ColumnElement[bool]:
    # If `long` is the shorter one, substr returns an even shorter string on both engines.
    return func.substr(long, func.length(long) - func.length(short) + 1) == short


_meet = overlap((_mine.c.beginning, _mine.c.ending), (_theirs.c.beginning, _theirs.c.ending))


def _claimed(*shown: ColumnElement[Any]) -> Select[Any]:
    """The areas of live claims."""
    on_holder = (_theirs.c.project_id == _holder.c.project_id) & (_theirs.c.feature_id == _holder.c.id)
    return select(*shown).select_from(_holder).join(_theirs, on_holder).where(in_project(_holder), leased(_holder))


def _live(*shown: ColumnElement[Any]) -> Select[Any]:
    """The areas of live claims that overlap the feature's own."""
    return _claimed(*shown).where(_meet)


def files_are_free(table: FromClause = features) -> ColumnElement[bool]:
    """No live claim may change the feature's files. Costs one index lookup for a feature without paths.

    It reads only the areas, so that the queue's index suffices without the row.
    """
    meeting = _live(_theirs.c.feature_id).correlate(_mine).exists()
    own = exists().where(in_project(_mine), _mine.c.feature_id == table.c.id, meeting)
    return ~own.correlate(table)


_with_areas = select(_any.c.feature_id).where(in_project(_any))


def files_are_claimed() -> ColumnElement[bool]:
    """A live claim may change the feature's files. Starts from the features that have areas."""
    return F.id.in_(_with_areas) & ~files_are_free()


def held_back() -> ColumnElement[bool]:
    """Ready, except that a live claim may change its files."""
    return ready() & files_are_claimed()


_count = hot(select(func.count()).where(in_project(), held_back()))
_count_there = hot(_count.where(F.category == bindparam("category_")))
_live_area = hot(_claimed(_theirs.c.feature_id).limit(1))
_holders = (
    _live(_mine.c.feature_id.label("held"), _holder.c.id, _holder.c.claimed_by)
    .join(_mine, _mine.c.project_id == _holder.c.project_id)
    .where(_mine.c.feature_id.in_(bindparam("ids", expanding=True)))
    .order_by(_mine.c.feature_id, _holder.c.id)
)
_forget = delete(areas).where(areas.c.project_id == bindparam("project"), areas.c.feature_id == bindparam("feature"))


def count_held_back(tx: Transaction, category: str | None = None) -> int:
    """Return how many features (of `category`) are ready except that live claims may change their files."""
    if tx.first(_live_area) is None:
        return 0
    if category is not None:
        return int(tx.value(_count_there, category_=category))
    return int(tx.value(_count))


def holders_of(tx: Transaction, ids: Sequence[int]) -> dict[int, Row]:
    """Return `id` and `claimed_by` of the first live claim that may change the files of each feature, by its id."""
    found: dict[int, Row] = {}
    for row in tx.all(_holders, ids=list(ids)) if ids else []:
        found.setdefault(row["held"], row)
    return found


def add_areas(tx: Transaction, paths: Mapping[int, Iterable[str] | None]) -> None:
    """Store the areas of new features, from their paths."""
    tx.insert(
        insert(areas),
        [
            {"project_id": tx.project.id, "feature_id": feature, **area._asdict()}
            for feature, globs in paths.items()
            for area in areas_of(globs or ())
        ],
    )


def replace_areas(tx: Transaction, feature: int, paths: Iterable[str] | None) -> None:
    """Replace the areas of a feature by those of its new paths."""
    tx.run(_forget, feature=feature)
    add_areas(tx, {feature: paths})
    tx.wakes = True  # it, or a feature that waited for its files, may be ready now
