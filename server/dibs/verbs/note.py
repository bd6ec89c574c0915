"""Notes: what an agent learned, kept for the next one."""

from __future__ import annotations

from sqlalchemy import select

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, this
from dibs.rules.diagnosis import find
from dibs.rules.journal import record
from dibs_schema.answers import Acknowledgement
from dibs_schema.status import Kind

# Locked, or a claim of one statement could come between this look and the event that repeats it.
_status = select(F.status).where(this()).with_for_update(read=True)


def add_note(tx: Transaction, by: str, feature: int, note: str) -> Acknowledgement:
    """Keep `note`; a claim of the feature brings the newest ten. Raises NotFound."""
    find(tx, feature)
    status = tx.value(_status, feature=feature)
    record(tx, by, Kind.NOTE, feature, status, status, note=note)
    return Acknowledgement(id=feature, status=status, noted=True)
