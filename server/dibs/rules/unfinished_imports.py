"""Imports that are published, and of which parts are missing. Any process adds them."""

from __future__ import annotations

from sqlalchemy import select

from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.rules.conditions import in_project
from dibs_schema.tables import imports

_any_published = hot(select(imports.c.id).where(in_project(imports), imports.c.first_id.is_not(None)).limit(1))


def is_unfinished(tx: Transaction) -> bool:
    """Return whether parts of a published import are missing. Reads one row at most."""
    return tx.first(_any_published) is not None
