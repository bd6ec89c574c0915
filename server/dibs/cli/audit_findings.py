"""The findings of `dibs doctor` about the values that an audit recomputes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

from dibs.database.health import HealthCheck, check_library
from dibs.queries.audit import Audit, OpenLease

MOST_NAMED = 5
"""Features that a finding names."""
REAP_DELAY = 60.0
"""Seconds after which an expired lease should have been reaped."""

REPAIR = "`dibs doctor --repair-counters` corrects them."
STRAY = "Somebody wrote to the tables by hand, or a backup was mixed with newer data. Look at `dibs show`, and restore."


def audit_findings(found: Audit, hold_limit: float, *, nobody_there: bool) -> list[HealthCheck]:
    """Return the findings of an audit. `nobody_there` says that no other process has the database open."""
    return [
        _compared("counters", "unmet dependencies", found.counters, found.features, REPAIR),
        _compared("heights", "heights", found.heights, found.features, REPAIR),
        _compared("areas", "file areas", found.areas, found.features, REPAIR),
        _compared("names", "folded names", found.names, found.features, REPAIR),
        _compared("rechecks", "rechecks", found.rechecks, found.features, STRAY),
        _compared("journal", "states", found.states, found.features, STRAY),
        _compared("dependencies", "dependencies", found.dependencies, found.features, STRAY),
        _replayed(found),
        _claims(found),
        *_leases(found.leases, hold_limit, nobody_there=nobody_there),
        *(
            check_library("writers", str(writer["library"]), f", last in {writer['process']}")
            for writer in found.writers
        ),
    ]


def _compared(check: str, what: str, differing: Mapping[int, Any], total: int, advice: str) -> HealthCheck:
    if not differing:
        return HealthCheck(check, "ok", f"the {what} of {total} features agree with the audit")
    some = islice(differing.items(), MOST_NAMED)
    shown = ", ".join(f"{feature}: {stored}, counted {counted}" for feature, (stored, counted) in some)
    return HealthCheck(check, "error", f"{len(differing)} features have wrong {what} ({shown}). {advice}")


def _replayed(found: Audit) -> HealthCheck:
    if not found.gaps:
        return HealthCheck("replay", "ok", "every transition starts from the state in which the last one ended")
    some = islice(found.gaps.items(), MOST_NAMED)
    shown = ", ".join(f"{feature}: {kind} from {old}, but it was {last}" for feature, (kind, old, last) in some)
    return HealthCheck("replay", "error", f"the events of {len(found.gaps)} features have gaps ({shown}). {STRAY}")


def _claims(found: Audit) -> HealthCheck:
    if not found.claims:
        return HealthCheck("claims", "ok", "every claim has an event of its holder, and columns that fit its state")
    shown = "; ".join(f"{feature}: {what}" for feature, what in islice(found.claims.items(), MOST_NAMED))
    return HealthCheck("claims", "error", f"{len(found.claims)} features have wrong claim columns ({shown}). {STRAY}")


def _leases(leases: list[OpenLease], hold_limit: float, *, nobody_there: bool) -> list[HealthCheck]:
    now = time.time()
    live = [one for one in leases if not one.run_out]
    late = [one for one in leases if one.run_out]
    idle = [one for one in live if now - one.active_at > hold_limit]
    orphaned = [one for one in live if one.connected and (nobody_there or one.elsewhere) and one not in idle]
    findings = []
    if late:
        since = now - min(one.expires_at for one in late)
        says = f"{_which(late)} past the lease, for up to {_span(since)}; the next claim or an idle server ends them"
        if since > REAP_DELAY:
            says += ". No server has done so: start one"
        findings.append(HealthCheck("leases", "warning" if since > REAP_DELAY else "ok", f"{says}."))
    if idle:
        says = f"{_which(idle)} held without a call about it for longer than {_span(hold_limit)}; a planner can end it "
        findings.append(HealthCheck("leases", "warning", f"{says}with `dibs release ID --force`."))
    if orphaned:
        ends = _span(max(one.expires_at for one in orphaned) - now)
        why = "no server has the database open" if nobody_there else "it ran before a restart or on another machine"
        says = f"{_which(orphaned)} held by a server that is gone ({why}). Their leases expire within {ends}."
        findings.append(HealthCheck("leases", "warning", says))
    return findings or [HealthCheck("leases", "ok", f"{len(leases)} claims are live")]


def _which(leases: list[OpenLease]) -> str:
    shown = ", ".join(f"{one.feature} by {one.holder}" for one in leases[:MOST_NAMED])
    more = f" and {len(leases) - MOST_NAMED} more" if len(leases) > MOST_NAMED else ""
    return f"{shown}{more}: {'is' if len(leases) == 1 else 'are'}"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"
