"""Notes: what an agent learned, kept for the next one."""

from __future__ import annotations

from dibs.database.transaction import Transaction
from dibs.verbs.journal import record
from dibs.verbs.refuse import find
from dibs_schema.answers import Acknowledgement
from dibs_schema.status import Kind


def add_note(tx: Transaction, by: str, feature: int, note: str) -> Acknowledgement:
    """Keep `note`; a claim of the feature brings the newest ten. Raises NotFound."""
    status = find(tx, feature)["status"]
    record(tx, by, Kind.NOTE, feature, status, status, note=note)
    return Acknowledgement(id=feature, status=status, noted=True)
