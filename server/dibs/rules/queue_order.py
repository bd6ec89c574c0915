"""The order in which the queue hands out features."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause

from dibs_schema.tables import features


def queue_order(claim_order: str, table: FromClause = features) -> list[ColumnElement[Any]]:
    """Return the columns that the queue is sorted by, in the order of their index."""
    c = table.c
    if claim_order == "critical_path":
        return [c.skips, c.height.desc(), c.priority, c.id]
    return [c.skips, c.priority, c.id]
