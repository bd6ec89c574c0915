"""The page Board: the features in a column for each state, filtered by the query of the address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dibs.board.page import Asked, Page
from dibs.queries.board_columns import COLUMNS, Filter, Total, first_of_each, page_of_one
from dibs_schema.answers import FeatureRow
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from dibs.board.project import Project
    from dibs.database.transaction import Transaction

SHOWN, PAGE_SIZE = 12, 50
"""The number of features in a column shown beside others, and on a page of one column."""
HEADINGS = {
    "needs_you": "Needs you",
    "ready": "Ready",
    "waiting": "Waiting",
    "in_progress": "In progress",
    "stuck": "Stuck",
    "passing": "Passing",
    "archived": "Archived",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: how many it has, those that are shown, and the query of the address that shows more."""

    state: str
    heading: str
    total: Total
    features: list[FeatureRow]
    more: Mapping[str, str] | None


def filter_of(asked: Asked) -> Filter:
    """Return the filter in the query of an address."""
    return Filter(*(asked.query.get(name) or None for name in ("text", "category", "agent")))


def _read(tx: Transaction, _: Project, asked: Asked) -> dict[str, Any]:
    wanted, state = filter_of(asked), asked.query.get("state") or None
    if state is not None and state not in COLUMNS:
        raise InvalidInput(f"There is no column {state!r}. The columns are {', '.join(COLUMNS)}.", field="state")
    names = {name: value for name, value in asdict(wanted).items() if value is not None}
    if state is not None:
        page = page_of_one(tx, state, wanted, PAGE_SIZE, asked.query.get("after"))
        more = None if page.next_cursor is None else {**names, "state": state, "after": page.next_cursor}
        shown = {state: Column(state, HEADINGS[state], page.total, page.features, more)}
    else:
        shown = {
            name: Column(
                name, HEADINGS[name], one.total, one.features, {**names, "state": name} if one.has_more else None
            )
            for name, one in first_of_each(tx, wanted, SHOWN).items()
        }
    return {"columns": shown, "wanted": wanted, "state": state, "headings": HEADINGS}


PAGE = Page("/board", "Board", "board.html", COLUMNS, _read)
