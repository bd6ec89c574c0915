"""The page List: one state's features in rows, to move them in the queue, and to do one thing to several of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dibs.board.columns import HEADINGS, filter_of
from dibs.board.page import Asked, Page
from dibs.queries.board_columns import COLUMNS, page_of_one
from dibs.queries.get import summaries
from dibs_schema.inputs import GREATEST_ID
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from dibs.board.project import Project
    from dibs.database.transaction import Transaction

PAGE_SIZE = 50
MOST_SELECTED = 200
"""The features on which one form acts."""
WHAT = {
    "retry": "Try again",
    "approve": "Approve",
    "archive": "Archive",
    "restore": "Restore",
    "front": "Move to the front",
    "end": "Move to the end",
}
"""What can be done to several features, and its words."""
_IN_QUEUE = ("archive", "front", "end")
OF_STATE = {
    "needs_you": ("approve", "archive"),
    "ready": _IN_QUEUE,
    "waiting": ("retry", *_IN_QUEUE),
    "in_progress": (),
    "stuck": ("retry", "archive"),
    "passing": ("approve", "archive"),
    "archived": ("restore",),
}
"""What is offered for the features of each state. In their back-off some of the waiting ones can be tried again."""
assert OF_STATE.keys() == set(COLUMNS)


def _read(tx: Transaction, _: Project, asked: Asked) -> dict[str, Any]:
    wanted, state = filter_of(asked), asked.query.get("state") or "ready"
    if state not in COLUMNS:
        raise InvalidInput(f"There is no state {state!r}. The states are {', '.join(COLUMNS)}.", field="state")
    page = page_of_one(tx, state, wanted, PAGE_SIZE, asked.query.get("after"))
    names = {name: value for name, value in {**asdict(wanted), "state": state}.items() if value is not None}
    return {
        "page": page,
        "above": dict(zip([one.id for one in page.features[1:]], page.features, strict=False)),
        "wanted": wanted,
        "state": state,
        "headings": HEADINGS,
        "what": {name: words for name, words in WHAT.items() if name in OF_STATE[state]},
        "may_move": state in ("ready", "waiting"),
        "more": None if page.next_cursor is None else {**names, "after": page.next_cursor},
    }


def _read_selected(tx: Transaction, _: Project, asked: Asked) -> dict[str, Any]:
    what = asked.path["what"]
    if what not in WHAT:
        raise InvalidInput("Choose what to do with the features.", field="what")
    found = summaries(tx, selected_ids(asked.query.getlist("id")))
    back = asked.query.get("back", "")
    is_list = back == PAGE.path or back.startswith(f"{PAGE.path}?")
    return {"what": what, "words": WHAT[what], "rows": found.features, "back": back if is_list else PAGE.path}


def selected_ids(given: list[Any]) -> list[int]:
    """Return the ids of the selected features. Raises InvalidInput for none, too many, or an id that is no number."""
    ids = list(dict.fromkeys(int(one) for one in given if isinstance(one, str) and one.isascii() and one.isdecimal()))
    if len(ids) != len(set(given)) or not all(1 <= one <= GREATEST_ID for one in ids):
        raise InvalidInput("Select features by their numbers.", field="id")
    if not 1 <= len(ids) <= MOST_SELECTED:
        raise InvalidInput(f"Select 1 to {MOST_SELECTED} features; you have selected {len(ids)}.", field="id")
    return ids


PAGE = Page("/list", "List", "list.html", ("rows",), _read)
SELECTED = Page("/list/{what}", "Selected", "selected.html", (), _read_selected)
