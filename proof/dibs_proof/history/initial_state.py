"""What a history begins with: the features and the rules as they are before the first call."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import bindparam, select

from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import in_project
from dibs.verbs.project_settings import get_rules
from dibs_proof.history.history import History, Start
from dibs_proof.history.model import Limits, Sketch
from dibs_schema.status import Kind, Status
from dibs_schema.tables import dependencies, features

_D = dependencies.c
_rows = select(features).where(in_project())
_edges = select(_D.feature_id, _D.dependency_id).where(_D.project_id == bindparam("project"))


def beginning(tx: Transaction) -> History:
    """A history without calls yet, of the project as it is."""
    rules = get_rules(tx)
    needs: dict[int, set[int]] = defaultdict(set)
    for row in tx.all(_edges):
        needs[row["feature_id"]].add(row["dependency_id"])
    start = {row["id"]: Start(_sketch(row, tx.now), frozenset(needs[row["id"]])) for row in tx.all(_rows)}
    return History(
        Limits(rules.max_failures, rules.max_attempts, rules.max_skips),
        rules.back_off,
        rules.max_claims,
        rules.max_claims_per_connection,
        start,
    )


def _sketch(row: Row, now: float) -> Sketch:
    was, kind = row["archived_from"], row["ended_by"]
    return Sketch(
        status=Status(row["status"]),
        token=row["claim_token"],
        holder=row["claimed_by"],
        attempts=row["attempts"],
        failures=row["failures"],
        skips=row["skips"],
        backs_off=row["not_before"] is not None and row["not_before"] > now,
        archived_from=Status(was) if was else None,
        ended=(row["ended_token"], Kind(kind) if kind else None),
    )
