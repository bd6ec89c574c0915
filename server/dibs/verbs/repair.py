"""Repair: correct the counters, heights, areas and folded names that an audit finds wrong, and nothing else."""

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
from dibs_schema.folding import folded
from dibs_schema.status import Kind
from dibs_schema.tables import features


@dataclass(frozen=True, slots=True)
class Repaired:
    """The corrected values: for each feature, the stored and the recomputed value."""

    counters: dict[int, tuple[int, int]] = field(default_factory=dict)
    heights: dict[int, tuple[int | None, int | None]] = field(default_factory=dict)
    areas: dict[int, tuple[int, int]] = field(default_factory=dict)
    names: dict[int, tuple[str | None, str]] = field(default_factory=dict)

    def wire(self) -> dict[str, Any]:
        """Return the corrected values as JSON values."""
        return asdict(self)


def _set(column: Column[Any]) -> Update:
    """Return the statement that sets a column, provided it still has the value that the audit found."""
    kept = bindparam("kept", type_=Integer)
    return (
        update(features)
        .where(this(), column.is_not_distinct_from(kept))
        .values({column: bindparam("counted", type_=Integer)})
    )


_paths = select(F.paths).where(this())
_names = select(F.category, F.name, F.reference).where(this())
_folded = {F[name]: bindparam(f"new_{name}", type_=F[name].type) for name in ("name_digest", "search_text")}
_set_names = update(features).where(this()).values(_folded)
_set_counter, _set_height = _set(F.unmet_dependencies), _set(F.height)


def repair_counters(tx: Transaction, by: str) -> Repaired:
    """Audit the project, correct each value that differs, and record it with an event without a transition."""
    found = audit(tx)
    _repair(tx, by, "unmet_dependencies", _set_counter, {**found.counters})
    _repair(tx, by, "height", _set_height, found.heights)
    for feature, (stored, derived) in found.areas.items():
        replace_areas(tx, feature, tx.value(_paths, feature=feature))
        record(tx, by, Kind.UPDATE, feature, repaired="areas", kept=stored, counted=derived)
    for feature, (digest, derived_digest) in found.names.items():
        row = tx.first(_names, feature=feature)
        assert row is not None, "this transaction has audited it"
        tx.run(_set_names, feature=feature, **{f"new_{name}": value for name, value in folded(row).items()})
        record(tx, by, Kind.UPDATE, feature, repaired="names", kept=digest, counted=derived_digest)
    return Repaired(found.counters, found.heights, found.areas, found.names)


def _repair(
    tx: Transaction, by: str, name: str, statement: Update, differing: Mapping[int, tuple[int | None, int | None]]
) -> None:
    for feature, (kept, counted) in differing.items():
        if tx.run(statement, feature=feature, kept=kept, counted=counted):
            record(tx, by, Kind.UPDATE, feature, repaired=name, kept=kept, counted=counted)
            tx.wakes = True  # the feature may be ready now
