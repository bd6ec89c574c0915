"""What a user may mean who has typed a part of an id or of a category."""

from __future__ import annotations

from sqlalchemy import ColumnElement, false, or_, select

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, in_project
from dibs_schema.inputs import GREATEST_ID

MOST = 100
"""Suggestions in one answer; the protocol allows no more."""

_ids = select(F.id).where(in_project()).order_by(F.id).limit(MOST)
_categories = select(F.category).where(in_project()).distinct().order_by(F.category).limit(MOST)


def complete_id(tx: Transaction, typed: str) -> list[int]:
    """Features whose ids begin with the digits typed, or whose names hold the words; the first of all for nothing."""
    if not typed:
        return [row["id"] for row in tx.all(_ids)]
    if typed.isascii() and typed.isdecimal():
        return [row["id"] for row in tx.all(_ids.where(_beginning_with(typed)))]
    return [row["id"] for row in tx.all(_ids.where(F.name.icontains(typed, autoescape=True)))]


def complete_category(tx: Transaction, typed: str) -> list[str]:
    """Categories that begin with what was typed, in any case of letters."""
    found = _categories.where(F.category.istartswith(typed, autoescape=True))
    return [row["category"] for row in tx.all(found)]


def _beginning_with(digits: str) -> ColumnElement[bool]:
    """The few ranges of numbers that begin so, which the key of the table finds at once."""
    first, ranges = 0 if digits.startswith("0") else int(digits[:20]), []
    size = 1
    while 0 < first * size <= GREATEST_ID:
        ranges.append(F.id.between(first * size, min((first + 1) * size - 1, GREATEST_ID)))
        size *= 10
    return or_(false(), *ranges)
