"""The features by what becomes of them next, as columns of a board: each feature is in exactly one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, or_, select, union_all

from dibs.database.transaction import Row, Transaction
from dibs.queries import feature_rows
from dibs.queries.feature_rows import Waits
from dibs.queries.queue_state import counts
from dibs.queries.search import get_ready, having, invalid_cursor
from dibs.rules.conditions import F, in_project, is_, leased, literal_text, queue_order, ready, resting
from dibs.rules.file_areas import files_are_claimed, held_back
from dibs_schema.answers import FeatureRow
from dibs_schema.folding import fold
from dibs_schema.status import Status

COLUMNS = ("needs_you", "ready", "waiting", "in_progress", "stuck", "passing", "archived")

MOST_COUNTED = 1_000
"""A filtered column counts no further: in a large backlog that would take longer than a page may."""
FEW = 2_000
"""So many features that fit a filter are found by one scan, and then sorted into columns by their ids."""

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


_placed = select(F.id, _column.label("state")).where(in_project(), F.id.in_(bindparam("ids", expanding=True)))
_shown = select(*feature_rows.COLUMNS).where(in_project(), F.id.in_(bindparam("ids", expanding=True))).order_by(F.id)


@dataclass(frozen=True, slots=True)
class Total:
    """The number of features in a column: exactly `number`, or more."""

    number: int
    is_more: bool = False

    def __str__(self) -> str:
        """Write it for a person: `1,000+`."""
        return f"{self.number:,}{'+' * self.is_more}"


@dataclass(frozen=True, slots=True)
class ColumnPage:
    """Some features of a column, and how many it has. `order` is set if they are in the order of claims."""

    total: Total
    features: list[FeatureRow]
    next_cursor: str | None = None
    order: str | None = None

    @property
    def has_more(self) -> bool:
        """Whether the column has more than these."""
        return self.total.is_more or self.total.number > len(self.features)


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
        """The conditions, including the condition for the project."""
        found = having(None, self.category, self.agent)
        return found if self.text is None else [*found, F.search_text.contains(fold(self.text), autoescape=True)]


def first_of_each(tx: Transaction, wanted: Filter, most: int) -> dict[str, ColumnPage]:
    """Return the first features of each column."""
    if wanted.is_given:
        return _first_of_filtered(tx, wanted, most)
    found = {}
    for name, total in _totals(tx).items():
        rows: list[Row] = []
        for conditions, order in _first(tx, name) if total else ():
            statement = select(*feature_rows.COLUMNS).where(in_project(), _conditions[name], *conditions)
            rows += tx.all(statement.order_by(*order).limit(most - len(rows)))
        found[name] = ColumnPage(Total(total), _rows(tx, rows))
    return found


def _first(tx: Transaction, column: str) -> list[tuple[list[ColumnElement[bool]], list[Any]]]:
    """Return more conditions and the order of the queries whose results begin a column, one after the other.

    Passing features begin with the latest tested one, in the order of an index. Imported ones were never tested.
    """
    if column == "passing":
        tested = F.last_tested_at
        return [([tested.is_not(None)], [tested.desc(), F.id.desc()]), ([tested.is_(None)], [F.id])]
    if column == "ready":
        return [([], queue_order(tx.project.settings.order))]
    return [([F.id > 0], [F.id])]  # a range, so that planners read the small index of a small column


def _first_of_filtered(tx: Transaction, wanted: Filter, most: int) -> dict[str, ColumnPage]:
    few = _few(tx, wanted)
    ids = {name: _ids(tx, wanted, name, MOST_COUNTED + 1) if few is None else few[name] for name in COLUMNS}
    rows = {row["id"]: row for row in _rows_of(tx, [one for found in ids.values() for one in found[:most]])}
    return {
        name: ColumnPage(_counted(found), _rows(tx, [rows[one] for one in found[:most]])) for name, found in ids.items()
    }


def page_of_one(tx: Transaction, column: str, wanted: Filter, limit: int, cursor: str | None = None) -> ColumnPage:
    """Return a page of one column: the ready features in the order of the queue, if no filter is given; others by id.

    Raises InvalidInput if the cursor is invalid.
    """
    if column == "ready" and not wanted.is_given:
        page = get_ready(tx, limit, cursor)
        return ColumnPage(Total(page.total), page.features, page.next_cursor, page.order)
    if cursor is not None and not (cursor.isdecimal() and len(cursor) <= 10):
        raise invalid_cursor()
    after = int(cursor or 0)
    few = _few(tx, wanted) if wanted.is_given else None
    if few is not None:
        total, ids = _counted(few[column]), [one for one in few[column] if one > after]
    elif wanted.is_given:
        counted = _ids(tx, wanted, column, MOST_COUNTED + 1)
        total, ids = _counted(counted), [one for one in counted if one > after]
        if len(ids) <= limit and total.is_more:
            ids = _ids(tx, wanted, column, limit + 1, after)
    else:
        total, ids = Total(_totals(tx)[column]), _ids(tx, wanted, column, limit + 1, after)
    shown = _rows(tx, _rows_of(tx, ids[:limit]))
    return ColumnPage(total, shown, str(shown[-1].id) if len(ids) > limit else None)


def _few(tx: Transaction, wanted: Filter) -> dict[str, list[int]] | None:
    """Return the features that match a filter by its indexed columns, or None if there are more than a few."""
    ids = _values(tx.all(select(F.id).where(*wanted.conditions).order_by(F.id).limit(FEW + 1)))
    if len(ids) > FEW:
        return None
    found = defaultdict[str, list[int]](list)
    for row in tx.all(_placed, ids=ids) if ids else ():
        found[row["state"]].append(row["id"])
    return {name: sorted(found[name]) for name in COLUMNS}


def _ids(tx: Transaction, wanted: Filter, column: str, limit: int, after: int = 0) -> list[int]:
    """Return the first features of a column after a given one, in the order of their ids."""
    statement = select(F.id).where(*wanted.conditions, _conditions[column], F.id > after)
    return _values(tx.all(statement.order_by(F.id).limit(limit)))


def _values(rows: Sequence[Row]) -> list[int]:
    return [row["id"] for row in rows]


def _counted(ids: Sequence[int]) -> Total:
    return Total(min(len(ids), MOST_COUNTED), len(ids) > MOST_COUNTED)


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


def _rows_of(tx: Transaction, ids: Sequence[int]) -> Sequence[Row]:
    return tx.all(_shown, ids=list(ids)) if ids else ()


def _rows(tx: Transaction, rows: Any) -> list[FeatureRow]:
    waits = Waits.of(tx, rows)
    return [waits.row_of(row, tx.now) for row in rows]
