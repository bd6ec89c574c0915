"""What the database says happened: the journal, the edges and the rows, read without any server."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, in_project, this
from dibs_schema.tables import dependencies, events, features

_E, _D = events.c, dependencies.c

_journal = (
    select(_E.id, _E.feature_id, _E.agent, _E.kind, _E.from_status, _E.to_status, _E.detail)
    .where(_E.project_id == bindparam("project"), _E.feature_id.is_not(None))
    .order_by(_E.id)
)
_new = select(_E.id).where(_E.project_id == bindparam("project"), _E.id > bindparam("since"))
_edges = select(_D.feature_id, _D.dependency_id).where(_D.project_id == bindparam("project"))
_statuses = select(F.id, F.status).where(in_project())
_names = select(F.id, F.name).where(in_project())
_paths = select(F.id, F.paths).where(in_project(), F.paths.is_not(None))
_row = select(features).where(this())

RENEWED = ("lease_clock", "lease_ends", "lease_expires_at")
"""The columns that a renewal of the present holder's lease changes at any time."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the journal, in the order in which it was committed."""

    id: int
    feature: int
    agent: str
    kind: str
    source: str | None
    target: str | None
    words: str | None = None


WORDS = ("reason", "note", "prompt", "evidence", "attempts")
"""What of an event's detail its caller has said, or was told: at most one of them is in it."""


def _words(detail: dict[str, Any] | None) -> str | None:
    return next((str(detail[name]) for name in WORDS if name in detail), None) if detail else None


def read_new(tx: Transaction, since: int) -> list[int]:
    """The numbers of the events after that one, in no order."""
    return [row["id"] for row in tx.all(_new, since=since)]


def read_journal(tx: Transaction) -> list[Event]:
    """Every event of a feature, oldest first."""
    return [
        Event(
            row["id"],
            row["feature_id"],
            row["agent"],
            row["kind"],
            row["from_status"],
            row["to_status"],
            _words(row["detail"]),
        )
        for row in tx.all(_journal)
    ]


def read_edges(tx: Transaction) -> dict[int, set[int]]:
    """What each feature depends on."""
    edges: dict[int, set[int]] = defaultdict(set)
    for row in tx.all(_edges):
        edges[row["feature_id"]].add(row["dependency_id"])
    return dict(edges)


def read_statuses(tx: Transaction) -> dict[int, str]:
    """Each feature's status."""
    return {row["id"]: row["status"] for row in tx.all(_statuses)}


def read_names(tx: Transaction) -> dict[int, str]:
    """Each feature's name."""
    return {row["id"]: row["name"] for row in tx.all(_names)}


def read_paths(tx: Transaction) -> dict[int, list[str]]:
    """Which files each feature changes, where it says so."""
    return {row["id"]: row["paths"] for row in tx.all(_paths) if row["paths"]}


def read_row(tx: Transaction, feature: int) -> dict[str, Any]:
    """A feature's row, but for what renewals change."""
    row = tx.first(_row, feature=feature)
    return {} if row is None else {name: value for name, value in row.items() if name not in RENEWED}
