"""Reads a project without a server: its events, dependencies, statuses, names, paths and rows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select

from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import F, in_project, this
from dibs.verbs.project_settings import get_settings
from dibs_proof.history.history import History, InitialFeature
from dibs_proof.history.model import FeatureState, Limits
from dibs_schema.status import ConnectionEnd, Kind, Status
from dibs_schema.tables import dependencies, events, features

_E, _D = events.c, dependencies.c

_events = (
    select(_E.id, _E.feature_id, _E.agent, _E.kind, _E.from_status, _E.to_status, _E.detail)
    .where(_E.project_id == bindparam("project"), _E.feature_id.is_not(None))
    .order_by(_E.id)
)
_new = select(_E.id).where(_E.project_id == bindparam("project"), _E.id > bindparam("since"))
_edges = select(_D.feature_id, _D.dependency_id).where(_D.project_id == bindparam("project"))
_statuses = select(F.id, F.status).where(in_project())
_names = select(F.id, F.name).where(in_project())
_paths = select(F.id, F.paths).where(in_project(), F.paths.is_not(None))
_rows = select(features).where(in_project())
_row = select(features).where(this())

RENEWED = ("lease_clock", "lease_ends", "lease_expires_at")
"""The columns that a renewal of the lease changes."""
TEXTS = ("attempts", "reason", "note", "prompt", "evidence")
"""The fields of an event's detail that a caller sent or received. The first that is there counts: the release at the end
of a connection, which its agent may repeat, has attempts, which its answer tells, and a reason of the server's own."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `text` is the string that the caller sent with the call.

    `added` and `removed` are the dependencies that the feature has and has not from this event on.
    """

    id: int
    feature: int
    agent: str
    kind: str
    source: str | None
    target: str | None
    text: str | None = None
    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()


def read_new(tx: Transaction, since: int) -> list[int]:
    """Return the numbers of the events after the event `since`, in any order."""
    return [row["id"] for row in tx.all(_new, since=since)]


def read_events(tx: Transaction) -> list[Event]:
    """Return every event of a feature, oldest first."""
    return [_event(row, row["detail"] or {}) for row in tx.all(_events)]


def _event(row: Row, detail: dict[str, Any]) -> Event:
    return Event(
        row["id"],
        row["feature_id"],
        row["agent"],
        row["kind"],
        row["from_status"],
        row["to_status"],
        _text(detail),
        added=(*detail.get("depends_on", ()), *detail.get("added", ())),
        removed=(*detail.get("removed", ()),),
    )


def _text(detail: dict[str, Any]) -> str | None:
    return next((str(detail[name]) for name in TEXTS if name in detail), None)


def read_edges(tx: Transaction) -> dict[int, set[int]]:
    """Return the dependencies of each feature."""
    edges: dict[int, set[int]] = defaultdict(set)
    for row in tx.all(_edges):
        edges[row["feature_id"]].add(row["dependency_id"])
    return dict(edges)


def read_statuses(tx: Transaction) -> dict[int, str]:
    """Return each feature's status."""
    return {row["id"]: row["status"] for row in tx.all(_statuses)}


def read_names(tx: Transaction) -> dict[int, str]:
    """Return each feature's name."""
    return {row["id"]: row["name"] for row in tx.all(_names)}


def read_paths(tx: Transaction) -> dict[int, list[str]]:
    """Return the paths of each feature that has any."""
    return {row["id"]: row["paths"] for row in tx.all(_paths) if row["paths"]}


def read_row(tx: Transaction, feature: int) -> dict[str, Any]:
    """Return a feature's row without the columns that renewals change."""
    row = tx.first(_row, feature=feature)
    return {} if row is None else {name: value for name, value in row.items() if name not in RENEWED}


def read_initial_history(tx: Transaction) -> History:
    """Return a history without calls: the features and the limits of the project now."""
    rules, needs = get_settings(tx), read_edges(tx)
    return History(
        Limits(rules.max_failures, rules.max_attempts, rules.max_skips, rules.max_same_failures),
        rules.back_off,
        rules.max_claims,
        rules.max_claims_per_connection,
        {row["id"]: InitialFeature(_state(row, tx.now), frozenset(needs.get(row["id"], ()))) for row in tx.all(_rows)},
    )


def _state(row: Row, now: float) -> FeatureState:
    archived_from, kind = row["archived_from"], row["ended_by"]
    ended_by = ConnectionEnd(kind) if kind in set(ConnectionEnd) else Kind(kind) if kind else None
    return FeatureState(
        status=Status(row["status"]),
        token=row["claim_token"],
        holder=row["claimed_by"],
        attempts=row["attempts"],
        failures=row["failures"],
        skips=row["skips"],
        backs_off=row["not_before"] is not None and row["not_before"] > now,
        archived_from=Status(archived_from) if archived_from else None,
        ended=(row["ended_token"], ended_by),
    )
