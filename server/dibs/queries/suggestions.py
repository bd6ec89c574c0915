"""Suggestions for an id or a category that a person types."""

from __future__ import annotations

from sqlalchemy import ColumnElement, false, or_, select

from dibs.database.transaction import Transaction
from dibs.queries.search import matching
from dibs.rules.conditions import F, in_project
from dibs_schema.folding import fold
from dibs_schema.inputs import GREATEST_ID

MOST = 100
"""Suggestions in one answer; MCP allows no more."""

_ids = select(F.id).where(in_project()).order_by(F.id).limit(MOST)
_categories = select(F.category).where(in_project()).distinct().order_by(F.category)


def complete_id(tx: Transaction, typed: str) -> list[int]:
    """Return features whose ids begin with the typed digits, or that a search for the typed text finds."""
    if not typed:
        return [row["id"] for row in tx.all(_ids)]
    if typed.isascii() and typed.isdecimal():
        return [row["id"] for row in tx.all(_ids.where(_beginning_with(typed)))]
    return [row["id"] for row in tx.all(_ids.where(F.id.in_(matching(typed))))]


def complete_category(tx: Transaction, typed: str) -> list[str]:
    """Return categories that begin with the typed text, in upper or lower case."""
    wanted = fold(typed)
    found = [row["category"] for row in tx.all(_categories) if fold(row["category"]).startswith(wanted)]
    return found[:MOST]


def _beginning_with(digits: str) -> ColumnElement[bool]:
    """Ids that begin with these digits, as ranges of the primary key."""
    first, ranges = 0 if digits.startswith("0") else int(digits[:20]), []
    size = 1
    while 0 < first * size <= GREATEST_ID:
        ranges.append(F.id.between(first * size, min((first + 1) * size - 1, GREATEST_ID)))
        size *= 10
    return or_(false(), *ranges)
