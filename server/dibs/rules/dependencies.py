"""Met and unmet dependencies: which ones a feature has, and what becomes of dependents when a feature passes or breaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Double, bindparam, case, func, insert, select, true, update

from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, among, depends_on_this, in_project, is_, literal_text, of_feature, this
from dibs.rules.events import TOKEN_NAME
from dibs.rules.questions import open_questions_of
from dibs_schema.status import SATISFIED, Kind, Status
from dibs_schema.tables import dependencies, events, features

_D, _E = dependencies.c, events.c

SHOWN_BLOCKERS = 3
"""The unmet dependencies that an answer lists, or one if it also names an open question; others are counted."""
MAY_END_FREELY = "Go on, or release or skip it at no cost."
"""What the holder of a feature with unmet dependencies, or with an open question, may do."""

AWAITS_RECHECK = is_(Status.PASSING) & F.recheck_since.is_not(None)
"""Passing, and a feature that it depends on has become unmet since it was last tested."""


def marked_for_recheck(condition: ColumnElement[bool]) -> ColumnElement[float | None]:
    """The value of `recheck_since` to set: since now, or since earlier, if the feature passes and the condition holds."""
    now = bindparam("now", type_=Double)
    return case((is_(Status.PASSING) & condition, func.coalesce(F.recheck_since, now)), else_=F.recheck_since)


def at_no_cost_if_blocked(value: ColumnElement[int], counted: ColumnElement[int]) -> ColumnElement[int]:
    """The value to set: `counted`, or `value` if a dependency of the claimed feature has become unmet."""
    return case((F.unmet_dependencies > 0, value), else_=counted)


_unmet_of = hot(
    select(_D.dependency_id)
    .join(features, (F.project_id == _D.project_id) & (F.id == _D.dependency_id))
    .where(of_feature(dependencies), ~among(F.status, SATISFIED))
    .order_by(_D.dependency_id)
)
_unblock = hot(update(features).where(depends_on_this()).values({F.unmet_dependencies: F.unmet_dependencies - 1}))
_block = (
    update(features)
    .where(depends_on_this())
    .values({F.unmet_dependencies: F.unmet_dependencies + 1, F.recheck_since: marked_for_recheck(true())})
)
# Read after the update, whose locks keep a claim in one statement from changing the status before this commit.
_unmet = select(
    F.project_id,
    F.id,
    bindparam("now", type_=_E.at.type),
    bindparam("by", type_=_E.agent.type),
    literal_text(Kind.UNMET),
    F.status,
    F.status,
    bindparam("what", type_=_E.detail.type),
    TOKEN_NAME,
).where(depends_on_this(), F.status != literal_text(Status.ARCHIVED))
_record_unmet = insert(events).from_select(
    ["project_id", "feature_id", "at", "agent", "kind", "from_status", "to_status", "detail", "token_name"], _unmet
)

_end_recheck = (
    update(features).where(this(), AWAITS_RECHECK).values({F.recheck_since: None, F.updated_at: bindparam("now")})
)
_count = hot(select(func.count()).where(in_project(), AWAITS_RECHECK))


def unmet_of(tx: Transaction, feature: int) -> list[int]:
    """Return the unmet dependencies of a feature."""
    return [row["dependency_id"] for row in tx.all(_unmet_of, feature=feature)]


def blockers(tx: Transaction, feature: int, unmet: int) -> dict[str, Any]:
    """Return the fields of an answer that name the unmet dependencies of a feature, and an open question.

    The feature's row counts `unmet` of both.
    """
    if not unmet:
        return {}
    ids = unmet_of(tx, feature)
    asked = [row["id"] for row in open_questions_of(tx, feature)[:1]] if unmet > len(ids) else []
    shown = ids[: SHOWN_BLOCKERS - 2 * len(asked)]
    fields = {"blocked_by": shown, "question_id": next(iter(asked), None)}
    fields["more_blocked_by"] = unmet - len(shown) - len(asked)
    return {name: value for name, value in fields.items() if value}


def blockers_in(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same fields from the detail of an event, for the answer to a repeated call."""
    return {name: detail[name] for name in ("blocked_by", "question_id", "more_blocked_by") if name in detail}


def unblock_dependents(tx: Transaction, feature: int) -> None:
    """Subtract one unmet dependency from each dependent of a feature that is satisfied now."""
    tx.run(_unblock, feature=feature)


def block_dependents(tx: Transaction, by: str, feature: int) -> None:
    """Add one unmet dependency to each dependent of a feature that is no longer satisfied.

    Each dependent that is not archived gets an event, and those that pass await a recheck.
    """
    if tx.run(_block, feature=feature):
        tx.run(_record_unmet, feature=feature, by=by, what={"dependency": feature})


def end_recheck(tx: Transaction, feature: int) -> bool:
    """Record that a passing feature was tested again. Returns whether it awaited a recheck."""
    ended = bool(tx.run(_end_recheck, feature=feature))
    tx.wakes = tx.wakes or (ended and tx.project.settings.rechecks == "required")  # the project may be complete now
    return ended


def count_rechecks(tx: Transaction) -> int:
    """Return how many passing features await a recheck."""
    return int(tx.value(_count))
