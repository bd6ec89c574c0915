"""Audit: recompute every derived value of a project, replay its events, and compare with what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import and_, func, not_, select

from dibs.database.transaction import Row, Transaction
from dibs.queries.replayed_events import wrong_dependencies, wrong_rechecks
from dibs.rules.conditions import NO_CLAIM, F, among, expired, in_project, is_, leased, of_another_clock
from dibs.rules.critical_path import true_heights
from dibs.rules.questions import IS_OPEN
from dibs.rules.unfinished_imports import is_unfinished
from dibs_schema.file_areas import Area, areas_of
from dibs_schema.folding import folded
from dibs_schema.status import SATISFIED, Kind, Status
from dibs_schema.tables import areas, dependencies, events, features, questions, waits, writers

_D, _E, _Q, _W = dependencies.c, events.c, questions.c, waits.c
_needed = features.alias("needed")

_open_waits = (
    select(func.count())
    .select_from(waits)
    .join(questions, (_Q.project_id == _W.project_id) & (_Q.id == _W.question_id))
    .where(_W.project_id == F.project_id, _W.feature_id == F.id, IS_OPEN)
    .correlate(features)
    .scalar_subquery()
)
_counters = (
    select(
        F.id,
        F.unmet_dependencies.label("kept"),
        F.height,
        (func.count(_needed.c.id) + _open_waits).label("counted"),
    )
    .outerjoin(dependencies, (_D.project_id == F.project_id) & (_D.feature_id == F.id))
    .outerjoin(
        _needed,
        (_needed.c.project_id == _D.project_id)
        & (_needed.c.id == _D.dependency_id)
        & ~among(_needed.c.status, SATISFIED),
    )
    .where(in_project())
    .group_by(F.project_id, F.id, F.unmet_dependencies, F.height)
)
_last_transition = (
    select(_E.feature_id, func.max(_E.id).label("last"))
    .where(in_project(events), _E.to_status.is_not(None))
    .group_by(_E.feature_id)
    .subquery("last_transition")
)
_states = (
    select(F.id, F.status, _E.to_status)
    .outerjoin(_last_transition, _last_transition.c.feature_id == F.id)
    .outerjoin(events, (_E.project_id == F.project_id) & (_E.id == _last_transition.c.last))
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
    .where(in_project(events), _E.to_status.is_not(None))
    .subquery("replayed")
)
_gaps = (
    select(_replayed.c.feature_id, _replayed.c.kind, _replayed.c.from_status, _replayed.c.left_in)
    .where(func.coalesce(_replayed.c.from_status, "") != func.coalesce(_replayed.c.left_in, ""))
    .order_by(_replayed.c.id.desc())
)
_OF_CLAIM = [column for column in NO_CLAIM if column is not F.claim_session]
_claimed = and_(*(column.is_not(None) for column in _OF_CLAIM))
_unclaimed = and_(F.claim_session.is_(None), *(column.is_(None) for column in _OF_CLAIM))
_in_progress = is_(Status.IN_PROGRESS)
_claim_columns = (
    select(F.id, F.status)
    .where(in_project(), (_in_progress & not_(_claimed)) | (not_(_in_progress) & not_(_unclaimed)))
    .order_by(F.id)
)
_last_claim = (
    select(_E.agent)
    .where(_E.project_id == F.project_id, _E.feature_id == F.id, among(_E.kind, (Kind.CLAIM, Kind.RESUME)))
    .order_by(_E.id.desc())
    .limit(1)
    .correlate(features)
    .scalar_subquery()
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
        _last_claim.label("claimed_last_by"),
        expired().label("run_out"),
        of_another_clock().label("elsewhere"),
    )
    .where(in_project(), leased())
    .order_by(F.id)
)
_names = select(F.id, F.category, F.name, F.reference, F.name_digest, F.search_text).where(in_project())
_with_paths = select(F.id, F.paths).where(in_project(), F.paths.is_not(None))
_stored_areas = select(areas.c.feature_id, areas.c.beginning, areas.c.ending).where(in_project(areas))
_writers = select(writers.c.library, writers.c.process, writers.c.seen_at).where(in_project(writers))


@dataclass(frozen=True, slots=True)
class OpenLease:
    """A live claim; times in seconds of the wall clock.

    A server renews a `connected` lease while its client is alive. A lease `elsewhere` is measured by the clock of
    another machine, or by this machine's before its last boot.
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
    """The findings of an audit. Each mapping has the features whose stored values are wrong.

    `counters` and `heights` map a feature to (stored, counted), `areas` to the numbers of its areas (stored, derived
    from its paths), `names` to the digest of its category and name (stored, derived), `states` to (stored, state after its
    last event), and `dependencies` to (stored, replayed from its events). `gaps` maps it to the latest event that does not
    start where the event before ended: (kind, from, state before). `claims` maps it to the fault of its claim, and
    `rechecks` to (whether it awaits a recheck, whether it should by its events).
    """

    features: int = 0
    counters: dict[int, tuple[int, int]] = field(default_factory=dict)
    heights: dict[int, tuple[int | None, int | None]] = field(default_factory=dict)
    areas: dict[int, tuple[int, int]] = field(default_factory=dict)
    names: dict[int, tuple[str | None, str]] = field(default_factory=dict)
    states: dict[int, tuple[str, str | None]] = field(default_factory=dict)
    dependencies: dict[int, tuple[list[int], list[int]]] = field(default_factory=dict)
    gaps: dict[int, tuple[str, str, str | None]] = field(default_factory=dict)
    claims: dict[int, str] = field(default_factory=dict)
    rechecks: dict[int, tuple[bool, bool]] = field(default_factory=dict)
    leases: list[OpenLease] = field(default_factory=list)
    writers: list[dict[str, object]] = field(default_factory=list)

    @property
    def unsound(self) -> list[str]:
        """Every difference, one a line; empty if the project is sound."""
        return [f"feature {feature}: {what}" for feature, what in self._differences()]

    @property
    def failed_checks(self) -> list[str]:
        """The failed checks, by their names in `dibs doctor`."""
        checks = {
            "counters": self.counters,
            "heights": self.heights,
            "areas": self.areas,
            "names": self.names,
            "journal": self.states or self.gaps,
            "dependencies": self.dependencies,
            "claims": self.claims,
            "rechecks": self.rechecks,
        }
        return [name for name, differing in checks.items() if differing]

    def _differences(self) -> Iterator[tuple[int, str]]:
        for feature, (stored, counted) in self.counters.items():
            yield feature, f"the row says {stored} unmet dependencies, the edges and open questions say {counted}"
        for feature, (height, longest) in self.heights.items():
            yield feature, f"the row says height {height}, the edges say {longest}"
        for feature, (stored, derived) in self.areas.items():
            yield feature, f"its {stored} file areas are not the {derived} areas of its paths"
        for feature, (digest, derived_digest) in self.names.items():
            yield (
                feature,
                f"the row says name digest {digest}, its names say {derived_digest}, or its search text differs",
            )
        for feature, (status, after) in self.states.items():
            yield feature, f"the row says {status}, the events say {after}"
        for feature, (needs, replayed) in self.dependencies.items():
            yield feature, f"it depends on {needs}, the events say {replayed}"
        for feature, (kind, source, before) in self.gaps.items():
            yield feature, f"a {kind} starts in {source}, but the event before it ended in {before}"
        for feature, (awaits, _) in self.rechecks.items():
            yield feature, f"it {'awaits' if awaits else 'does not await'} a recheck, the events say otherwise"
        yield from self.claims.items()


def audit(tx: Transaction) -> Audit:
    """Recompute every derived value, replay states and dependencies, and compare each with what is stored."""
    has_heights = tx.project.settings.order == "critical_path"
    heights = true_heights(tx) if has_heights else {}
    is_growing = has_heights and is_unfinished(tx)  # then features have the heights of the whole import
    found = Audit()
    for row in tx.all(_counters):
        found.features += 1
        if row["kept"] != row["counted"]:
            found.counters[row["id"]] = (row["kept"], row["counted"])
        height = heights.get(row["id"], 0) if has_heights else None  # a queue by priority stores no heights
        is_early = is_growing and height is not None and (row["height"] or 0) > height
        if row["height"] != height and not is_early:
            found.heights[row["id"]] = (row["height"], height)
    found.areas = _wrong_areas(tx)
    found.names = {
        row["id"]: (row["name_digest"], derived["name_digest"])
        for row in tx.all(_names)
        if (derived := folded(row)) != {name: row[name] for name in derived}
    }
    found.states = {row["id"]: (row["status"], row["to_status"]) for row in tx.all(_states)}
    found.dependencies = wrong_dependencies(tx)
    found.gaps = {row["feature_id"]: (row["kind"], row["from_status"], row["left_in"]) for row in tx.all(_gaps)}
    live = tx.all(_leases)
    found.claims = {
        row["id"]: f"{row['claimed_by']} holds it, but {row['claimed_last_by']} made its last claim"
        for row in live
        if row["claimed_by"] != row["claimed_last_by"]
    } | {row["id"]: f"the claim columns do not fit the status {row['status']}" for row in tx.all(_claim_columns)}
    found.rechecks = wrong_rechecks(tx)
    found.leases = [_open_lease(row) for row in live]
    found.writers = [dict(row) for row in tx.all(_writers)]
    return found


def _wrong_areas(tx: Transaction) -> dict[int, tuple[int, int]]:
    derived = {row["id"]: areas_of(row["paths"] or ()) for row in tx.all(_with_paths)}
    stored: dict[int, list[Area]] = {}
    for row in tx.all(_stored_areas):
        stored.setdefault(row["feature_id"], []).append(Area(row["beginning"], row["ending"]))
    both = ((one, sorted(stored.get(one, [])), derived.get(one, [])) for one in sorted({*stored, *derived}))
    return {one: (len(has), len(needs)) for one, has, needs in both if has != needs}


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
