"""What has changed since a place in the journal: which features, and whether there are others now."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import bindparam, select

from dibs.database.transaction import Row, Transaction
from dibs.queries.follow import complete, cursor_of, later, parse_cursor
from dibs.queries.queue_state import next_back_off_end
from dibs_schema.status import Kind
from dibs_schema.tables import dependencies, events

_E, _D = events.c, dependencies.c

MOST = 1_000
"""Events looked at at once; where there are more, `cursor` stops at the last of them."""

QUIET = (Kind.NOTE, Kind.HEARTBEAT)
"""What is told of a feature beside everything that lists show."""
LISTING = (Kind.CREATE, Kind.ARCHIVE, Kind.RESTORE)
"""What adds features to those that there are, or takes some off the board."""

_since = (
    select(_E.xact, _E.id, _E.feature_id, _E.kind, _E.detail)
    .where(complete, later)
    .order_by(_E.xact, _E.id)
    .limit(MOST)
)
# From either end: what a feature says of those that it builds on, and of those that build on it.
_beside = [
    select(asked.label("asked"))
    .where(
        _D.project_id == bindparam("project"),
        asked.in_(bindparam("asked_", expanding=True)),
        other.in_(bindparam("changed_", expanding=True)),
    )
    .distinct()
    for asked, other in ((_D.feature_id, _D.dependency_id), (_D.dependency_id, _D.feature_id))
]


@dataclass(slots=True)
class Changes:
    """What happened up to `cursor`.

    `features` are those that changed, and of those asked for also the ones that tell of a neighbour which did.
    `any` says that something happened at all, `moved` that lists and counts may be others, `listed` that
    features came or were taken off the board; `more` that not all was looked at. In `ready_in` seconds the
    next back-off ends, which nobody writes down.
    """

    cursor: str
    features: set[int] = field(default_factory=set)
    any: bool = False
    moved: bool = False
    listed: bool = False
    more: bool = False
    ready_in: float | None = None


def changes(tx: Transaction, cursor: str, asked: Collection[int] = ()) -> Changes:
    """What changed after `cursor`, and of the features `asked` for also those whose neighbours did.

    Raises InvalidInput for a cursor that is none.
    """
    xact, last = parse_cursor(cursor)
    rows = tx.all(_since, xact=xact, last=last)
    found = Changes(cursor, any=bool(rows), more=len(rows) == MOST, ready_in=next_back_off_end(tx))
    moving: set[int] = set()
    for row in rows:
        found.cursor = cursor_of(row)
        found.listed |= row["kind"] in LISTING
        if row["feature_id"] is not None:
            found.features.add(row["feature_id"])
        if row["kind"] not in QUIET:
            found.moved = True
            moving |= _told_by(row)
    found.features |= _neighbours(tx, moving, set(asked) - found.features)
    return found


def _told_by(row: Row) -> set[int]:
    """The features that an event is about: its own, and those that its feature no longer depends on."""
    about = {row["feature_id"]} if row["feature_id"] is not None else set()
    if row["kind"] == Kind.DEPEND:
        about.update((row["detail"] or {}).get("removed", []))
    return about


def _neighbours(tx: Transaction, changed: set[int], asked: set[int]) -> set[int]:
    if not changed or not asked:
        return set()
    given = {"asked_": sorted(asked), "changed_": sorted(changed)}
    beside = {row["asked"] for statement in _beside for row in tx.all(statement, **given)}
    return beside | (asked & changed)
