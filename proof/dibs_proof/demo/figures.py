"""What the play amounted to, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from dibs_proof.checks.journal import Event
from dibs_proof.demo.play import Performance
from dibs_schema.status import Kind


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts, latencies in milliseconds (None where nothing was claimed), and other times in seconds.

    `work_seconds` last from the moment at which every server was up to the last feature that passed.
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


def figures(
    features: int, seen: Performance, journal: Sequence[Event], *, doubles: int, lost: int
) -> Figures:
    """The figures of a play, from what the clients saw and from the journal."""
    records = seen.records
    passed = len(records.passed_at)
    work = max(records.passed_at, default=seen.curtain_at) - seen.curtain_at
    return Figures(
        features=features,
        passed=passed,
        failed=records.count(Kind.FAIL),
        skipped=records.count(Kind.SKIP),
        asked=records.count(Kind.ASK),
        claims=len(records.holdings),
        double_claims=doubles,
        lost_acknowledgements=lost,
        take_overs=take_overs(journal),
        refusals=dict(records.refusals.most_common()),
        claim_p50_ms=milliseconds(quantile(records.claim_times, 0.50)),
        claim_p99_ms=milliseconds(quantile(records.claim_times, 0.99)),
        start_seconds=round(seen.curtain_at - seen.began, 2),
        work_seconds=round(work, 2),
        total_seconds=round(seen.over_at - seen.began, 2),
        features_per_second=round(passed / work, 1) if work else 0.0,
        busiest_second=busiest(records.passed_at),
    )


def take_overs(journal: Sequence[Event]) -> int:
    """How often a claim that had run out was followed by another agent's."""
    holder: dict[int, str] = {}
    ran_out: dict[int, str] = {}
    count = 0
    for event in journal:
        if event.kind == Kind.EXPIRE and event.feature in holder:
            ran_out[event.feature] = holder[event.feature]
        elif event.kind == Kind.CLAIM:
            holder[event.feature] = event.agent
            count += ran_out.pop(event.feature, event.agent) != event.agent
    return count


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that `share` of all values do not exceed, or None where there are none."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)] if values else None


def milliseconds(seconds: float | None) -> float | None:
    """Seconds as milliseconds, to a tenth."""
    return None if seconds is None else round(1000 * seconds, 1)


def busiest(moments: Sequence[float]) -> int:
    """The most moments that lie within one second."""
    ordered = sorted(moments)
    first = most = 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most
