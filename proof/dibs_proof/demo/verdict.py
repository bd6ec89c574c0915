"""The verdict on a demo: every check, on one snapshot of the database, and the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.queries.audit import audit
from dibs_proof import invariants
from dibs_proof.acknowledgements import nothing_lost
from dibs_proof.demo.agent import LATE_CALLS
from dibs_proof.demo.plan import Backlog
from dibs_proof.demo.run_agents import Observations
from dibs_proof.demo.state import LateCall
from dibs_proof.holding import Holding
from dibs_proof.invariants import Finding
from dibs_proof.read_database import Event, read_events, read_statuses
from dibs_schema.refusals import ClaimLost
from dibs_schema.status import Kind, Status


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts, latencies in milliseconds (None if nothing was claimed), and other times in seconds.

    `work_seconds` last from the moment at which every server had started to the last pass.
    """

    features: int
    passed: int
    failed: int
    skipped: int
    asked: int
    claims: int
    double_claims: int
    lost_acknowledgements: int
    take_overs: int
    refusals: dict[str, int]
    claim_p50_ms: float | None
    claim_p99_ms: float | None
    start_seconds: float
    work_seconds: float
    total_seconds: float
    features_per_second: float
    busiest_second: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings and figures.

    `stopped_early` is the reason why the demo stopped early, or empty. If it did, `log` is the end of the servers' log.
    """

    findings: list[Finding]
    figures: Figures
    stopped_early: str
    log: str = ""

    @property
    def holds(self) -> bool:
        """Return whether the demo reached its end and every finding holds."""
        return not self.stopped_early and all(one.holds for one in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        found = {one.name: {"checked": one.checked, "broken": one.broken} for one in self.findings}
        return {"holds": self.holds, "stopped_early": self.stopped_early, **asdict(self.figures), "checks": found}


def judge(database: Database, backlog: Backlog, seen: Observations) -> Verdict:
    """Compare what the clients saw with the database and its events."""
    return database.read_now(lambda tx: _judge(tx, backlog, seen))


def _judge(tx: Transaction, backlog: Backlog, seen: Observations) -> Verdict:
    events = read_events(tx)
    records, kill = seen.records, seen.kill
    in_events = invariants.one_holder_in_the_events(events)
    among_clients = invariants.one_holder_among_the_clients(records.holdings)
    lost = nothing_lost(records.acknowledged, events)
    findings = [
        in_events,
        among_clients,
        lost,
        all_done(backlog.statuses, read_statuses(tx)),
        invariants.dependencies_respected(events),
        invariants.events_are_unbroken(events),
        invariants.sound(audit(tx)),
        taken_over_in_time(kill.victim, kill.new_holder, seen.lease),
        lost_token_refused(kill.late_calls, expected=len(LATE_CALLS) if kill.victim else 0),
    ]
    doubles = max(len(in_events.broken), len(among_clients.broken))
    counted = figures(len(backlog.statuses), seen, events, doubles=doubles, lost=len(lost.broken))
    return Verdict(findings, counted, seen.stopped_early)


def all_done(imported: Mapping[int, str], final: Mapping[int, str]) -> Finding:
    """Check that every feature is passing, or archived if it was imported as archived, and that none is missing."""
    found = Finding("all_done", "Every feature ends passing", len(imported), "features")
    for feature, before in imported.items():
        wanted = Status.ARCHIVED if before == Status.ARCHIVED else Status.PASSING
        if final.get(feature) != wanted:
            found.broken.append(f"feature {feature} is {final.get(feature, 'missing')}")
    return found


def taken_over_in_time(victim: Holding | None, taker: Holding | None, lease: float) -> Finding:
    """Check that another agent claimed the killed agent's feature, and not before the lease had expired."""
    found = Finding("take_over", "The killed agent's work was taken over in time", unit="take-over")
    if victim is None:
        return found
    found.checked = 1
    if taker is None:
        found.broken.append(f"feature {victim.feature} of {victim.agent} was not taken over")
    elif taker.agent == victim.agent:
        found.broken.append(f"{victim.agent} got its own feature {victim.feature} again")
    elif taker.given_at < victim.asked_at + lease:
        early = victim.asked_at + lease - taker.given_at
        found.broken.append(f"{taker.agent} got feature {victim.feature} {early:.2f} s before the lease expired")
    return found


def lost_token_refused(late: Sequence[LateCall], *, expected: int) -> Finding:
    """Check that each of the `expected` calls with the killed agent's token got claim_lost and did not change the row."""
    found = Finding(
        "dead_token", "The killed agent's old token was refused, and changed nothing", len(late), "late calls"
    )
    if len(late) != expected:
        found.broken.append(f"{len(late)} of {expected} late calls were made")
    for call in late:
        if call.code != ClaimLost.code:
            found.broken.append(f"{call.tool} was answered with {call.code or 'an acknowledgement'}")
        changed = sorted(name for name in call.before | call.after if call.before.get(name) != call.after.get(name))
        if changed:
            found.broken.append(f"{call.tool} changed {', '.join(changed)}")
    return found


def figures(features: int, seen: Observations, events: Sequence[Event], *, doubles: int, lost: int) -> Figures:
    """Return the figures of a demo, from what the clients saw and from the events."""
    records = seen.records
    passed = len(records.passed_at)
    work = max(records.passed_at, default=seen.begun_at) - seen.begun_at
    return Figures(
        features=features,
        passed=passed,
        failed=records.count(Kind.FAIL),
        skipped=records.count(Kind.SKIP),
        asked=records.count(Kind.ASK),
        claims=len(records.holdings),
        double_claims=doubles,
        lost_acknowledgements=lost,
        take_overs=take_overs(events),
        refusals=dict(records.refusals.most_common()),
        claim_p50_ms=milliseconds(quantile(records.claim_times, 0.50)),
        claim_p99_ms=milliseconds(quantile(records.claim_times, 0.99)),
        start_seconds=round(seen.begun_at - seen.began, 2),
        work_seconds=round(work, 2),
        total_seconds=round(seen.over_at - seen.began, 2),
        features_per_second=round(passed / work, 1) if work else 0.0,
        busiest_second=busiest(records.passed_at),
    )


def take_overs(events: Sequence[Event]) -> int:
    """Return how often another agent claimed a feature after a claim had expired."""
    holder: dict[int, str] = {}
    expired: dict[int, str] = {}
    count = 0
    for event in events:
        if event.kind == Kind.EXPIRE and event.feature in holder:
            expired[event.feature] = holder[event.feature]
        elif event.kind == Kind.CLAIM:
            holder[event.feature] = event.agent
            count += expired.pop(event.feature, event.agent) != event.agent
    return count


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that `share` of all values do not exceed, or None if there are no values."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)] if values else None


def milliseconds(seconds: float | None) -> float | None:
    """Return seconds as milliseconds, to a tenth."""
    return None if seconds is None else round(1000 * seconds, 1)


def busiest(moments: Sequence[float]) -> int:
    """Return the greatest number of timestamps in any one-second window."""
    ordered = sorted(moments)
    first = most = 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most
