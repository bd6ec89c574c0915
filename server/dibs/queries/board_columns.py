"""The features by what becomes of them next, as columns of a board: each feature is in exactly one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, func, or_, select, union_all

from dibs.database.transaction import Row, Transaction
from dibs.queries import feature_rows
from dibs.queries.feature_rows import Waits
from dibs.queries.queue_state import counts
from dibs.queries.search import get_ready, having, invalid_cursor, matching
from dibs.rules.conditions import F, in_project, is_, leased, literal_text, queue_order, ready, resting
from dibs.rules.file_areas import files_are_claimed, held_back
from dibs_schema.answers import FeatureRow, Page
from dibs_schema.status import Status
from dibs_schema.tables import features

COLUMNS = ("needs_you", "ready", "waiting", "in_progress", "stuck", "passing", "archived")

_unconfirmed = F.unconfirmed_since.is_not(None) & is_(Status.PASSING)
_asks = resting() & is_(Status.NEEDS_HUMAN)
_conditions: dict[str, ColumnElement[bool]] = {
    "needs_you": F.id.in_(
        union_all(
            select(F.id).where(in_project(), _asks).correlate(None),
            select(F.id).where(in_project(), _unconfirmed).correlate(None),
        )
    ),
    "ready": ready() & ~files_are_claimed(),
    "waiting": is_(Status.PENDING) & ((F.unmet_dependencies > 0) | ~ready() | held_back()),
    "in_progress": F.id.in_(select(F.id).where(in_project(), leased()).correlate(None)),
    "stuck": resting() & is_(Status.STUCK),
    "passing": is_(Status.PASSING) & F.unconfirmed_since.is_(None),
    "archived": resting() & is_(Status.ARCHIVED),
}
_column = case(
    (or_(is_(Status.NEEDS_HUMAN), _unconfirmed), literal_text("needs_you")),
    (_conditions["ready"], literal_text("ready")),
    (is_(Status.PENDING), literal_text("waiting")),
    else_=F.status,
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which features are wanted: with a text in name, category or reference, of a category, of or by an agent."""

    text: str | None = None
    category: str | None = None
    agent: str | None = None

    @property
    def is_given(self) -> bool:
        """Whether it leaves any feature out."""
        return any((self.text, self.category, self.agent))

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """The conditions, with that of the project."""
        found = having(None, self.category, self.agent)
        return found if self.text is None else [*found, F.id.in_(matching(self.text))]


def first_of_each(tx: Transaction, wanted: Filter, most: int) -> dict[str, tuple[int, list[FeatureRow]]]:
    """Return how many features each column has, and its first ones."""
    if wanted.is_given:
        return _first_of_filtered(tx, wanted, most)
    found = {}
    for name, total in _totals(tx).items():
        rows: list[Row] = []
        for conditions, order in _first(tx, name) if total else ():
            statement = select(*feature_rows.COLUMNS).where(in_project(), _conditions[name], *conditions)
            rows += tx.all(statement.order_by(*order).limit(most - len(rows)))
        found[name] = (total, _rows(tx, rows))
    return found


def _first(tx: Transaction, column: str) -> list[tuple[list[ColumnElement[bool]], list[Any]]]:
    """Return more conditions and the order of the queries whose results begin a column, one after the other.

    Passing features begin with the one that was tested last, as an index has them. Imported ones were never tested.
    """
    if column == "passing":
        tested = F.last_tested_at
        return [([tested.is_not(None)], [tested.desc(), F.id.desc()]), ([tested.is_(None)], [F.id])]
    if column == "ready":
        return [([], queue_order(tx.project.settings.order))]
    return [([F.id > 0], [F.id])]  # a range, so that planners read the small index of a small column


def _first_of_filtered(tx: Transaction, wanted: Filter, most: int) -> dict[str, tuple[int, list[FeatureRow]]]:
    """Do the same with a filter, for which one scan serves all columns."""
    state = _column.label("state")
    place = func.row_number().over(partition_by=_column, order_by=F.id).label("place")
    total = func.count().over(partition_by=_column).label("total")
    placed = select(F.id, state, place, total).where(*wanted.conditions).subquery()
    rows = tx.all(
        select(*feature_rows.COLUMNS, placed.c.state, placed.c.total)
        .join(placed, F.id == placed.c.id)
        .where(in_project(), placed.c.place <= most)
        .order_by(F.id)
    )
    of_each = {name: [row for row in rows if row["state"] == name] for name in COLUMNS}
    return {name: (own[0]["total"] if own else 0, _rows(tx, own)) for name, own in of_each.items()}


def page_of_one(tx: Transaction, column: str, wanted: Filter, limit: int, cursor: str | None = None) -> Page:
    """Return a page of one column: the ready features in the order of the queue, if no filter is given; others by id.

    Raises InvalidInput if the cursor is invalid.
    """
    if column == "ready" and not wanted.is_given:
        return get_ready(tx, limit, cursor)
    if cursor is not None and not (cursor.isdecimal() and len(cursor) <= 10):
        raise invalid_cursor()
    conditions = [*wanted.conditions, _conditions[column]]
    statement = select(*feature_rows.COLUMNS).where(*conditions, F.id > int(cursor or 0)).order_by(F.id)
    rows = tx.all(statement.limit(limit + 1))
    shown = _rows(tx, rows[:limit])
    total = _totals(tx)[column]
    if wanted.is_given:
        total = tx.value(select(func.count()).select_from(features).where(*conditions))
    return Page(features=shown, total=total, next_cursor=str(shown[-1].id) if len(rows) > limit else None)


def _totals(tx: Transaction) -> dict[str, int]:
    found = counts(tx)
    return {
        "needs_you": found.needs_human + found.unconfirmed,
        "ready": found.ready,
        "waiting": found.pending - found.ready,
        "in_progress": found.in_progress,
        "stuck": found.stuck,
        "passing": found.passing - found.unconfirmed,
        "archived": found.archived,
    }


def _rows(tx: Transaction, rows: Any) -> list[FeatureRow]:
    waits = Waits.of(tx, rows)
    return [waits.row_of(row, tx.now) for row in rows]
