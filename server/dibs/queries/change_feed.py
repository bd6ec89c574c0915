"""The features that have changed since a cursor, for subscribers to resources."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import bindparam, select

from dibs.database.transaction import Row, Transaction
from dibs.queries.follow import complete, cursor_of, later, parse_cursor
from dibs.queries.queue_state import next_back_off_end
from dibs.rules.conditions import in_project
from dibs_schema.status import Kind
from dibs_schema.tables import dependencies, events

_E, _D = events.c, dependencies.c

MOST = 1_000
"""Events of one read. If there are more, `cursor` is the position after the last of these."""
QUIET = (Kind.NOTE, Kind.HEARTBEAT)
"""Events that change nothing in lists."""
LISTING = (Kind.CREATE, Kind.ARCHIVE, Kind.RESTORE)
"""Events that add features to lists, or remove them."""

_since = (
    select(_E.xact, _E.id, _E.feature_id, _E.kind, _E.detail)
    .where(complete, later)
    .order_by(_E.xact, _E.id)
    .limit(MOST)
)
# Of the subscribed features, the dependents and the dependencies of those that changed.
_neighbour_queries = [
    select(asked.label("asked"))
    .where(
        in_project(dependencies),
        asked.in_(bindparam("asked_", expanding=True)),
        other.in_(bindparam("changed_", expanding=True)),
    )
    .distinct()
    for asked, other in ((_D.feature_id, _D.dependency_id), (_D.dependency_id, _D.feature_id))
]


@dataclass(slots=True)
class Changes:
    """The changes up to `cursor`.

    `features` have changed, or are subscribed and show a dependency or dependent that has changed. `any` is true after
    any event, `moved` if lists and counts may differ, `listed` if features were added or archived, and `more` if events
    remain. The next back-off ends in `ready_in` seconds; its end writes no event.
    """

    cursor: str
    features: set[int] = field(default_factory=set)
    any: bool = False
    moved: bool = False
    listed: bool = False
    more: bool = False
    ready_in: float | None = None


def changes(tx: Transaction, cursor: str, asked: Collection[int] = ()) -> Changes:
    """Return the changes after `cursor`, plus the subscribed features (`asked`) adjacent to a changed one.

    Raises InvalidInput if the cursor is invalid.
    """
    xact, last = parse_cursor(cursor)
    rows = tx.all(_since, xact=xact, last=last)
    found = Changes(cursor, any=bool(rows), more=len(rows) == MOST, ready_in=next_back_off_end(tx))
    changed: set[int] = set()
    for row in rows:
        found.cursor = cursor_of(row)
        found.listed |= row["kind"] in LISTING
        if row["feature_id"] is not None:
            found.features.add(row["feature_id"])
        if row["kind"] not in QUIET:
            found.moved = True
            changed |= _features_in(row)
    found.features |= _neighbours(tx, changed, set(asked) - found.features)
    return found


def _features_in(row: Row) -> set[int]:
    """Return the feature of an event, and those that it no longer depends on."""
    about = {row["feature_id"]} if row["feature_id"] is not None else set()
    if row["kind"] == Kind.DEPEND:
        about.update((row["detail"] or {}).get("removed", []))
    return about


def _neighbours(tx: Transaction, changed: set[int], asked: set[int]) -> set[int]:
    if not changed or not asked:
        return set()
    ids = {"asked_": sorted(asked), "changed_": sorted(changed)}
    found = {row["asked"] for statement in _neighbour_queries for row in tx.all(statement, **ids)}
    return found | (asked & changed)
