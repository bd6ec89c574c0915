"""Whose a claim was that has ended."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, this
from dibs.rules.events import last_holder

_ended = select(F.id).where(this(), F.ended_token == bindparam("token"), F.claim_token.is_(None))


def ended_holder_of(tx: Transaction, feature: int, token: str) -> str | None:
    """Return the holder of the feature's last claim if it had that token and has ended, or None."""
    return last_holder(tx, feature) if tx.value(_ended, feature=feature, token=token) is not None else None
