"""What `dibs doctor` says of a recount: counters, heights, areas, the journal, leases, and who has written."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from dibs.database.health import HealthCheck, check_library
from dibs.queries.audit import Audit, OpenLease

PATIENT = 60.0
"""Seconds for which a lease may have run out before somebody should have noticed."""

REPAIR = "`dibs doctor --repair-counters` sets them right."
STRAY = "Somebody wrote to the tables by hand, or a backup was mixed with its successor. Look at `dibs show`, and restore."


def recounted(found: Audit, hold_limit: float, *, nobody_there: bool) -> list[HealthCheck]:
    """The findings of a recount; `nobody_there` where it is known that no other process has the database open."""
    return [
        _compared("counters", "unmet dependencies", found.counters, found.features, REPAIR),
        _compared("heights", "heights", found.heights, found.features, REPAIR),
        _compared("areas", "file areas", found.areas, found.features, REPAIR),
        _compared("journal", "states", found.states, found.features, STRAY),
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
        return HealthCheck(check, "ok", f"the {what} of {total} features agree with a recount")
    shown = ", ".join(
        f"{feature}: {kept!s}, counted {counted!s}"
        for feature, (kept, counted) in list(differing.items())[:5]
    )
    says = f"{len(differing)} features keep other {what} than a recount gives ({shown}). {advice}"
    return HealthCheck(check, "error", says)


def _replayed(found: Audit) -> HealthCheck:
    if not found.gaps:
        return HealthCheck("replay", "ok", "every move starts where the one before it ended")
    shown = ", ".join(
        f"{feature}: {kind} from {source}, but it was {left}"
        for feature, (kind, source, left) in list(found.gaps.items())[:5]
    )
    return HealthCheck(
        "replay", "error", f"the journal of {len(found.gaps)} features has gaps ({shown}). {STRAY}"
    )


def _claims(found: Audit) -> HealthCheck:
    if not found.claims:
        return HealthCheck(
            "claims", "ok", "every claim has its holder's event, and its columns fit its state"
        )
    shown = "; ".join(f"{feature}: {what}" for feature, what in list(found.claims.items())[:5])
    return HealthCheck(
        "claims", "error", f"{len(found.claims)} features have wrong claim columns ({shown}). {STRAY}"
    )


def _leases(leases: list[OpenLease], hold_limit: float, *, nobody_there: bool) -> list[HealthCheck]:
    now = time.time()
    live = [one for one in leases if not one.run_out]
    late = [one for one in leases if one.run_out]
    idle = [one for one in live if now - one.active_at > hold_limit]
    left = [one for one in live if one.connected and (nobody_there or one.elsewhere) and one not in idle]
    findings = []
    if late:
        since = now - min(one.expires_at for one in late)
        says = f"{_which(late)} past the lease, for up to {_span(since)}; the next claim or idle server takes them back"
        if since > PATIENT:
            says += ". Nobody has, so no server is at work: start one"
        findings.append(HealthCheck("leases", "warning" if since > PATIENT else "ok", f"{says}."))
    if idle:
        says = f"{_which(idle)} held without a call about it for longer than {_span(hold_limit)}; a planner gives them back "
        findings.append(HealthCheck("leases", "warning", f"{says}with `dibs release ID --force`."))
    if left:
        ends = _span(max(one.expires_at for one in left) - now)
        why = (
            "no server has the database open"
            if nobody_there
            else "the machine was started anew, or it is another"
        )
        says = f"{_which(left)} held by a server that is gone ({why}). They come back by themselves within {ends}."
        findings.append(HealthCheck("leases", "warning", says))
    return findings or [HealthCheck("leases", "ok", f"{len(leases)} claims are held")]


def _which(leases: list[OpenLease]) -> str:
    shown = ", ".join(f"{one.feature} by {one.holder}" for one in leases[:5])
    more = f" and {len(leases) - 5} more" if len(leases) > 5 else ""
    return f"{shown}{more}: {'is' if len(leases) == 1 else 'are'}"


def _span(seconds: float) -> str:
    units: list[tuple[float, Callable[[float], str]]] = [
        (90, lambda one: f"{max(one, 0):.0f} s"),
        (5400, lambda one: f"{one / 60:.0f} min"),
    ]
    return next((say(seconds) for most, say in units if seconds < most), f"{seconds / 3600:.0f} h")
