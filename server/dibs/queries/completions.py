"""Completions of a partly typed feature id or category."""

from __future__ import annotations

from sqlalchemy import ColumnElement, false, or_, select

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, in_project
from dibs_schema.inputs import GREATEST_ID

MOST = 100
"""Suggestions in one answer; MCP allows no more."""

_ids = select(F.id).where(in_project()).order_by(F.id).limit(MOST)
_categories = select(F.category).where(in_project()).distinct().order_by(F.category).limit(MOST)


def complete_id(tx: Transaction, typed: str) -> list[int]:
    """Return features whose ids begin with the typed digits, or whose names contain the typed text."""
    if not typed:
        return [row["id"] for row in tx.all(_ids)]
    if typed.isascii() and typed.isdecimal():
        return [row["id"] for row in tx.all(_ids.where(_beginning_with(typed)))]
    return [row["id"] for row in tx.all(_ids.where(F.name.icontains(typed, autoescape=True)))]


def complete_category(tx: Transaction, typed: str) -> list[str]:
    """Return categories that begin with the typed text, in upper or lower case."""
    found = _categories.where(F.category.istartswith(typed, autoescape=True))
    return [row["category"] for row in tx.all(found)]


def _beginning_with(digits: str) -> ColumnElement[bool]:
    """The ranges of numbers that begin with these digits, which the primary key finds."""
    first, ranges = 0 if digits.startswith("0") else int(digits[:20]), []
    size = 1
    while 0 < first * size <= GREATEST_ID:
        ranges.append(F.id.between(first * size, min((first + 1) * size - 1, GREATEST_ID)))
        size *= 10
    return or_(false(), *ranges)
