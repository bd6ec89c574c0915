"""The verdict on a storm: what clients were told, against the journal, the rows and the database's own checks."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from dibs.database import Database
from dibs.histories.check import check
from dibs.histories.history import Call, History
from dibs.proof import findings as general
from dibs.proof.findings import Finding
from dibs.proof.journal import read_journal, read_statuses
from dibs.proof.retold import acknowledged
from dibs.storm.ends import End
from dibs.storm.sky import Sky
from dibs.verbs.audit import audit
from dibs.verbs.leases import reap
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
FREEZE = 25.0
"""Seconds; patience and waiting together are less."""
GIVEN_UP = 2.0
"""Leases after which nothing may still be held."""


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
    """Hold everything against everything, once the leases of the dead have run out."""
    calls = history.calls
    time.sleep(sky.plan.lease * GIVEN_UP)
    database.write_now(reap)
    journal, statuses, recount = database.read_now(
        lambda tx: (read_journal(tx), read_statuses(tx), general.counters_agree(audit(tx)))
    )
    found = [
        general.one_holder_in_the_journal(journal),
        general.nothing_lost(acknowledged(calls), [replace(event, agent="") for event in journal]),
        general.journal_is_unbroken(journal),
        recount,
        _histories(history),
        _documented(sky),
        _nothing_held(statuses),
        _no_freeze(calls),
        _healthy(database),
    ]
    return Verdict(found, _figures(sky, calls, seconds))


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


def _nothing_held(statuses: dict[int, str]) -> Finding:
    found = Finding("given_back", "Nothing is held by the dead", len(statuses), "features")
    held = [feature for feature, status in statuses.items() if status == Status.IN_PROGRESS]
    found.broken += [f"feature {feature} is still claimed" for feature in held]
    return found


def _no_freeze(calls: list[Call]) -> Finding:
    answered = [call for call in calls if call.ended is not None]
    found = Finding("no_freeze", f"No call took longer than {FREEZE:g} s", len(answered), "calls")
    found.broken += [
        f"{call.tool} took {took:.1f} s" for call in answered if (took := _seconds(call)) > FREEZE
    ]
    return found


def _healthy(database: Database) -> Finding:
    found = Finding("healthy", "The database finds itself sound", unit="checks of its own")
    try:
        examined = database.examine()
    except Refusal as refusal:
        found.broken.append(refusal.message)
    else:
        found.checked = len(examined)
        found.broken += [one.says for one in examined if one.level == "error"]
    return found


def _figures(sky: Sky, calls: list[Call], seconds: float) -> dict[str, Any]:
    times = sorted(_seconds(call) for call in calls if call.ended is not None)
    kills = sky.ends[End.KILLED] + sky.ends[End.STRUCK] + sky.ends[End.STOPPED]
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
        "strangers": sky.strangers.came,
        "clock_jumps": sky.clock.jumps,
        "call_p50_ms": _at(times, 0.5),
        "call_p99_ms": _at(times, 0.99),
        "call_longest_ms": _at(times, 1),
    }


def _seconds(call: Call) -> float:
    """How long its client waited, but for what it asked to wait for work."""
    return call.until - call.begun - float(call.arguments.get("wait_seconds", 0))


def _at(times: list[float], share: float) -> float | None:
    """The time in milliseconds that so great a share of the calls did not exceed."""
    return round(times[min(len(times) - 1, int(share * len(times)))] * 1000, 1) if times else None
