"""What attempts have used: tokens, money and time. An event has what it adds, so a feature's total is a sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from dibs.database.transaction import Transaction
from dibs.rules.conditions import among, of_feature
from dibs_schema.evidence import EvidenceFields, Usage
from dibs_schema.status import Kind
from dibs_schema.tables import events

NAMES = tuple(Usage.model_fields)
USES = (Kind.PASS, Kind.VERIFY, Kind.FAIL, Kind.REGRESS, Kind.UPDATE)
"""The kinds of events that may have a usage."""

_used = select(events.c.detail).where(of_feature(events), among(events.c.kind, USES))


def used(evidence: EvidenceFields | None) -> dict[str, float] | None:
    """Return the usage in evidence in the form of an event, or None."""
    if evidence is None or evidence.usage is None:
        return None
    return evidence.usage.model_dump(exclude_none=True) or None


def added_usage(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> dict[str, float] | None:
    """Return by how much corrected evidence changes the usage, or None. Less than before is negative."""
    old, new = (before or {}).get("usage") or {}, after.get("usage")
    if new is None:  # the correction is of something else
        return None
    return {name: more for name in NAMES if (more := (new.get(name) or 0) - (old.get(name) or 0))} or None


def usage_of(tx: Transaction, feature: int) -> dict[str, float] | None:
    """Return the total usage of all attempts at a feature, or None if no event has a usage."""
    total: dict[str, float] = {}
    for row in tx.all(_used, feature=feature):
        for name, number in ((row["detail"] or {}).get("usage") or {}).items():
            total[name] = round(total.get(name, 0) + number, 6)
    return total or None
