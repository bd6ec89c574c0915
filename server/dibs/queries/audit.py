"""Recount: every counter and height from the edges, every status from the events."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import bindparam, func, select

from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import F, among, expired, in_project, leased, of_another_clock
from dibs.rules.critical_path import true_heights
from dibs_schema.file_areas import Area, areas_of
from dibs_schema.status import SATISFIED
from dibs_schema.tables import areas, dependencies, events, features, writers

_D, _E = dependencies.c, events.c
_needed = features.alias("needed")

_true_unmet = (
    select(F.id, F.unmet_dependencies.label("kept"), F.height, func.count(_needed.c.id).label("counted"))
    .outerjoin(dependencies, (_D.project_id == F.project_id) & (_D.feature_id == F.id))
    .outerjoin(
        _needed,
        (_needed.c.project_id == _D.project_id)
        & (_needed.c.id == _D.dependency_id)
        & ~among(_needed.c.status, SATISFIED),
    )
    .where(in_project())
    .group_by(F.id, F.unmet_dependencies, F.height)
)
_last_event = (
    select(_E.feature_id, func.max(_E.id).label("last"))
    .where(_E.project_id == bindparam("project"), _E.to_status.is_not(None))
    .group_by(_E.feature_id)
    .subquery("last_event")
)
_strays = (
    select(F.id, F.status, _E.to_status)
    .outerjoin(_last_event, _last_event.c.feature_id == F.id)
    .outerjoin(events, (_E.project_id == F.project_id) & (_E.id == _last_event.c.last))
    .where(in_project(), func.coalesce(_E.to_status, "") != F.status)
    .order_by(F.id)
)
_replayed = (
    select(
        _E.feature_id,
        _E.id,
        _E.kind,
        _E.from_status,
        func.lag(_E.to_status).over(partition_by=_E.feature_id, order_by=_E.id).label("left_in"),
    )
    .where(_E.project_id == bindparam("project"), _E.to_status.is_not(None))
    .subquery("replayed")
)
_gaps = (
    select(_replayed.c.feature_id, _replayed.c.kind, _replayed.c.from_status, _replayed.c.left_in)
    .where(func.coalesce(_replayed.c.from_status, "") != func.coalesce(_replayed.c.left_in, ""))
    .order_by(_replayed.c.id.desc())
)
_leases = (
    select(
        F.id,
        F.claimed_by,
        F.claim_session,
        F.claimed_at,
        F.last_activity_at,
        F.lease_expires_at,
        F.lease_seconds,
        expired().label("run_out"),
        of_another_clock().label("elsewhere"),
    )
    .where(in_project(), leased())
    .order_by(F.id)
)
_with_paths = select(F.id, F.paths).where(in_project(), F.paths.is_not(None))
_kept_areas = select(areas.c.feature_id, areas.c.beginning, areas.c.ending).where(
    areas.c.project_id == bindparam("project")
)
_writers = select(writers.c.library, writers.c.process, writers.c.seen_at).where(
    writers.c.project_id == bindparam("project")
)


@dataclass(frozen=True, slots=True)
class OpenLease:
    """A claim; times in seconds of the wall clock.

    `connected` where a server renews it while its client lives; `elsewhere` where another machine counts it, or
    this one before it was started anew.
    """

    feature: int
    holder: str
    claimed_at: float
    active_at: float
    expires_at: float
    seconds: float
    connected: bool
    run_out: bool
    elsewhere: bool


@dataclass(slots=True)
class Audit:
    """What a recount found. `unmet` and `heights` map a feature to (kept, counted), `strays` to (kept, replayed).

    `areas` map one whose areas are not those of its paths to how many they are, and how many they should be.
    `gaps` map a feature to the first move that does not start where the one before it ended: (kind, from, ended in).
    """

    features: int = 0
    unmet: dict[int, tuple[int, int]] = field(default_factory=dict)
    heights: dict[int, tuple[int | None, int | None]] = field(default_factory=dict)
    areas: dict[int, tuple[int, int]] = field(default_factory=dict)
    strays: dict[int, tuple[str, str | None]] = field(default_factory=dict)
    gaps: dict[int, tuple[str, str, str | None]] = field(default_factory=dict)
    leases: list[OpenLease] = field(default_factory=list)
    writers: list[dict[str, object]] = field(default_factory=list)

    @property
    def unsound(self) -> list[str]:
        """The checks that failed, by the names that `dibs doctor` has for them."""
        checks = {
            "counters": self.unmet,
            "heights": self.heights,
            "areas": self.areas,
            "journal": self.strays or self.gaps,
        }
        return [name for name, differing in checks.items() if differing]


def audit(tx: Transaction) -> Audit:
    """Recompute every counter from the edges and every state from the journal, and compare."""
    kept_heights = tx.project.claim_order == "critical_path"
    tall = true_heights(tx) if kept_heights else {}
    found = Audit()
    for row in tx.all(_true_unmet):
        found.features += 1
        if row["kept"] != row["counted"]:
            found.unmet[row["id"]] = (row["kept"], row["counted"])
        height = tall.get(row["id"], 0) if kept_heights else None  # by priority none is kept
        if row["height"] != height:
            found.heights[row["id"]] = (row["height"], height)
    found.areas = _stray_areas(tx)
    found.strays = {row["id"]: (row["status"], row["to_status"]) for row in tx.all(_strays)}
    found.gaps = {
        row["feature_id"]: (row["kind"], row["from_status"], row["left_in"]) for row in tx.all(_gaps)
    }
    found.leases = [_open_lease(row) for row in tx.all(_leases)]
    found.writers = [dict(row) for row in tx.all(_writers)]
    return found


def _stray_areas(tx: Transaction) -> dict[int, tuple[int, int]]:
    wanted = {row["id"]: areas_of(row["paths"] or ()) for row in tx.all(_with_paths)}
    kept: dict[int, list[Area]] = {}
    for row in tx.all(_kept_areas):
        kept.setdefault(row["feature_id"], []).append(Area(row["beginning"], row["ending"]))
    both = ((one, sorted(kept.get(one, [])), wanted.get(one, [])) for one in sorted({*kept, *wanted}))
    return {one: (len(there), len(should)) for one, there, should in both if there != should}


def _open_lease(row: Row) -> OpenLease:
    return OpenLease(
        feature=row["id"],
        holder=row["claimed_by"],
        claimed_at=row["claimed_at"],
        active_at=row["last_activity_at"],
        expires_at=row["lease_expires_at"],
        seconds=row["lease_seconds"],
        connected=row["claim_session"] is not None,
        run_out=bool(row["run_out"]),
        elsewhere=bool(row["elsewhere"]),
    )
