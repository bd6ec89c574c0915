"""Repair: set the counters, heights and areas that a recount finds wrong, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Column, Integer, Update, bindparam, select, update

from dibs.database.transaction import Transaction
from dibs.queries.audit import audit
from dibs.rules.conditions import F, this
from dibs.rules.events import record
from dibs.rules.file_areas import replace_areas
from dibs_schema.status import Kind
from dibs_schema.tables import features


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was set right: by feature, what was kept and what was counted."""

    counters: dict[int, tuple[int, int]] = field(default_factory=dict)
    heights: dict[int, tuple[int | None, int | None]] = field(default_factory=dict)
    areas: dict[int, tuple[int, int]] = field(default_factory=dict)

    def wire(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def _set(column: Column[Any]) -> Update:
    """Set what is still as it was found."""
    kept = bindparam("kept", type_=Integer)
    return (
        update(features)
        .where(this(), column.is_not_distinct_from(kept))
        .values({column: bindparam("counted", type_=Integer)})
    )


_paths = select(F.paths).where(this())
_set_counter, _set_height = _set(F.unmet_dependencies), _set(F.height)


def repair_counters(tx: Transaction, by: str) -> Repaired:
    """Recount all that is counted, set what differs, and record each with an event that moves nothing."""
    found = audit(tx)
    for name, statement, differing in (
        ("unmet_dependencies", _set_counter, {**found.counters}),
        ("height", _set_height, found.heights),
    ):
        _repair(tx, by, name, statement, differing)
    for feature, (there, should) in found.areas.items():
        replace_areas(tx, feature, tx.value(_paths, feature=feature))
        record(tx, by, Kind.UPDATE, feature, repaired="areas", kept=there, counted=should)
    return Repaired(found.counters, found.heights, found.areas)


def _repair(
    tx: Transaction,
    by: str,
    name: str,
    statement: Update,
    differing: Mapping[int, tuple[int | None, int | None]],
) -> None:
    for feature, (kept, counted) in differing.items():
        if tx.run(statement, feature=feature, kept=kept, counted=counted):
            record(tx, by, Kind.UPDATE, feature, repaired=name, kept=kept, counted=counted)
            tx.wakes = True  # it may be ready now
