"""The page Events: what happened, newest first, filtered by the query of the address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dibs.board.page import Asked, Page
from dibs.queries.event_list import EventFilter, list_events
from dibs_schema.inputs import GREATEST_ID
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Kind

if TYPE_CHECKING:
    from dibs.board.project import Project
    from dibs.database.transaction import Transaction

SHOWN = 100
KINDS = {
    "claims": (Kind.CLAIM, Kind.RESUME, Kind.RELEASE, Kind.EXPIRE),
    "outcomes": (Kind.PASS, Kind.FAIL, Kind.SKIP, Kind.VERIFY, Kind.REGRESS),
    "questions": (Kind.ASK, Kind.ANSWER, Kind.CANCEL, Kind.MET),
    "notes": (Kind.NOTE, Kind.HEARTBEAT),
    "plans": (Kind.CREATE, Kind.UPDATE, Kind.DEPEND, Kind.ARCHIVE, Kind.RESTORE, Kind.RETRY),
}
"""The groups of kinds that a person may ask for."""


def _read(tx: Transaction, _: Project, asked: Asked) -> dict[str, Any]:
    given = {name: asked.query.get(name) or "" for name in ("kinds", "agent", "feature", "before")}
    if given["kinds"] and given["kinds"] not in KINDS:
        raise InvalidInput(f"There are no events {given['kinds']!r}, but {', '.join(KINDS)}.", field="kinds")
    wanted = EventFilter(KINDS.get(given["kinds"], ()), given["agent"] or None, _number(given["feature"]))
    listed, older = list_events(tx, SHOWN, wanted, given["before"] or None)
    names = {name: value for name, value in given.items() if value and name != "before"}
    more = None if older is None else {**names, "before": older}
    return {"events": listed, "given": given, "kinds": KINDS, "more": more, "names": names}


def _number(text: str) -> int | None:
    if not text:
        return None
    if not (text.isdecimal() and len(text) <= 10 and 1 <= int(text) <= GREATEST_ID):
        raise InvalidInput("feature: send the number of a feature.", field="feature")
    return int(text)


PAGE = Page("/events", "Events", "events.html", ("events",), _read)
