"""The verdict on a storm: what clients were told, against the journal, the rows and the database's own checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dibs.database import Database
from dibs.queries.audit import audit
from dibs_proof.checks import invariants as general
from dibs_proof.checks.acknowledgements import acknowledged
from dibs_proof.checks.invariants import Finding
from dibs_proof.checks.journal import read_journal, read_names, read_paths, read_statuses
from dibs_proof.checks.matching import each_has_its_event
from dibs_proof.history.check import check
from dibs_proof.history.history import Call, History
from dibs_proof.storm.context import Sky
from dibs_proof.storm.excused_delays import Delays
from dibs_proof.storm.idempotency import done_once
from dibs_proof.storm.latency import Pace
from dibs_proof.storm.orphaned_claims import Deaths, names_of
from dibs_proof.storm.terminations import DEAD, End
from dibs_schema.refusals import Refusal
from dibs_schema.status import Status

NEVER = (
    "database_replaced",
    "database_damaged",
    "schema_newer",
    "unsafe_filesystem",
    "disk_full",
    "read_only",
    "forbidden",
    "request_reused",
)
"""Refusals for which a storm gives no reason."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything that was found, and the figures of the storm."""

    findings: list[Finding]
    figures: dict[str, Any]

    @property
    def holds(self) -> bool:
        """Whether nothing at all is broken."""
        return all(one.holds for one in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The verdict as JSON values."""
        found = {one.name: {"checked": one.checked, "broken": one.broken} for one in self.findings}
        return {"holds": self.holds, **self.figures, "checks": found}


def judge(database: Database, sky: Sky, history: History, seconds: float) -> Verdict:
    """Hold everything against everything. It changes nothing: what servers have left undone stays so."""
    figures = _figures(sky, history.calls, seconds)
    try:
        found, more = _found(database, sky, history)
    except Refusal as refusal:  # nothing can be held against a database that cannot be read
        unread = Finding("healthy", "The database can be read", unit="checks of its own")
        unread.broken.append(refusal.message)
        return Verdict([unread], figures)
    return Verdict(found, figures | more)


def _found(database: Database, sky: Sky, history: History) -> tuple[list[Finding], dict[str, Any]]:
    journal, statuses, recount, names, paths = database.read_now(
        lambda tx: (
            read_journal(tx),
            read_statuses(tx),
            general.counters_agree(audit(tx)),
            read_names(tx),
            read_paths(tx),
        )
    )
    called = names_of(history, journal)
    delays = Delays(history, sky.strangers.held, [*sky.witness.late, *sky.nobody], sky.gave_up)
    deaths = Deaths(history, journal, called, sky.witness, delays)
    pace = Pace(history.calls, delays)
    found = [
        general.one_holder_in_the_journal(journal),
        general.areas_respected(journal, paths),
        each_has_its_event(acknowledged(history, called), journal, sky.witness.of),
        general.journal_is_unbroken(journal),
        recount,
        _histories(history),
        done_once(history, names),
        _documented(sky),
        deaths.given_back(),
        deaths.taken_back(),
        _nothing_held(sky, statuses),
        pace.no_freeze(),
        _healthy(database),
    ]
    return found, pace.figures() | deaths.figures()


def _histories(history: History) -> Finding:
    found = Finding("histories", "Every answer fits one order of the calls", len(history.calls), "calls")
    found.broken += [str(one) for one in check(history)]
    return found


def _documented(sky: Sky) -> Finding:
    answers = sum(sky.refusals.values())
    found = Finding(
        "documented", "Every refusal was due, and every server ended as it was told", answers, "refusals"
    )
    found.broken += [f"{count} calls got {code}" for code, count in sky.refusals.items() if code in NEVER]
    found.broken += sky.wrong
    return found


def _nothing_held(sky: Sky, statuses: dict[int, str]) -> Finding:
    found = Finding("given_back", "Nothing is held by the dead", len(statuses), "features")
    held = [feature for feature, status in statuses.items() if status == Status.IN_PROGRESS]
    found.broken += [*sky.kept, *(f"feature {feature} is still claimed" for feature in held)]
    return found


def _healthy(database: Database) -> Finding:
    found = Finding("healthy", "The database finds itself sound", unit="checks of its own")
    try:
        examined = database.check_health()
    except Refusal as refusal:
        found.broken.append(refusal.message)
    else:
        found.checked = len(examined)
        found.broken += [one.says for one in examined if one.level == "error"]
    return found


def _figures(sky: Sky, calls: list[Call], seconds: float) -> dict[str, Any]:
    kills = sum(sky.ends[how] for how in DEAD)
    return {
        "seconds": round(seconds, 1),
        "agents": sky.plan.agents,
        "seed": sky.plan.seed,
        "calls": len(calls),
        "answers_lost": sum(call.ended is None for call in calls),
        "refusals": dict(sky.refusals.most_common()),
        "servers": sum(sky.ends.values()),
        "kills": kills,
        "ends": {how.value: sky.ends[how] for how in End},
        "strangers": len(sky.strangers.held),
        "releases_given_up": len(sky.gave_up),
        "clock_jumps": sky.clock.jumps,
    }
