"""The verdict on a storm: compares the clients' answers with the events, the rows and the database's own checks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from dibs.database import Database
from dibs.queries.audit import audit
from dibs_proof import invariants
from dibs_proof.acknowledgements import acknowledged, each_has_its_event
from dibs_proof.history.check import check
from dibs_proof.history.history import Call, History
from dibs_proof.history.interpret import CREATES
from dibs_proof.invariants import Finding
from dibs_proof.read_database import read_events, read_names, read_paths, read_statuses
from dibs_proof.storm.agent import BY_SIGKILL, ServerEnd
from dibs_proof.storm.delays import Delays, without_servers
from dibs_proof.storm.moves import count_moves
from dibs_proof.storm.orphaned_claims import OrphanedClaims, names_of
from dibs_proof.storm.state import StormState
from dibs_schema.refusals import Refusal
from dibs_schema.status import Status

NEVER = (
    "database_replaced",
    "database_damaged",
    "schema_newer",
    "unsafe_filesystem",
    "disk_full",
    "read_only",
    "request_reused",
)
"""Refusals that cannot be correct in a storm."""
FREEZE = 8.0
"""Seconds that count as a freeze, without the times when others had the lock or the machine was too busy."""
PATIENCE = 20.0
"""Seconds for which a server waits for the lock."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings and figures of a storm."""

    findings: list[Finding]
    figures: dict[str, Any]

    @property
    def holds(self) -> bool:
        """Return whether every finding holds."""
        return all(one.holds for one in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        found = {one.name: {"checked": one.checked, "broken": one.broken} for one in self.findings}
        return {"holds": self.holds, **self.figures, "checks": found}


def judge(database: Database, storm: StormState, history: History, seconds: float) -> Verdict:
    """Run every check. The checks change nothing: they reap no claim that servers have left."""
    figures = _figures(storm, history.calls, seconds)
    try:
        found, more = _findings(database, storm, history)
    except Refusal as refusal:  # nothing can be compared with a database that cannot be read
        unread = Finding("healthy", "The database can be read", unit="checks of its own")
        unread.broken.append(refusal.message)
        return Verdict([unread], figures)
    return Verdict(found, figures | more)


def _findings(database: Database, storm: StormState, history: History) -> tuple[list[Finding], dict[str, Any]]:
    events, statuses, audited, names, paths = database.read_now(
        lambda tx: (read_events(tx), read_statuses(tx), invariants.sound(audit(tx)), read_names(tx), read_paths(tx))
    )
    agents = names_of(history, events)
    overloaded = [*storm.watcher.overloaded, *storm.without_servers]
    delays = Delays(history, storm.foreign_locks.held, overloaded, storm.not_released)
    unreaped = Delays(history, storm.foreign_locks.held, [*overloaded, *without_servers(history)], storm.not_released)
    orphaned = OrphanedClaims(history, events, agents, storm.watcher, unreaped)
    latency = Latency(history.calls, delays)
    found = [
        invariants.one_holder_in_the_events(events),
        invariants.areas_respected(events, paths),
        each_has_its_event(acknowledged(history, agents), events, storm.watcher.of),
        invariants.events_are_unbroken(events),
        audited,
        _histories(history),
        done_once(history, names),
        _documented(storm),
        orphaned.released(),
        orphaned.taken_back(),
        _nothing_held(storm, statuses),
        latency.no_freeze(),
        _healthy(database),
    ]
    return found, latency.figures() | orphaned.figures() | {"moves": count_moves(history, events)}


class Latency:
    """The duration of each answered call, without the time for which it asked to wait for work."""

    def __init__(self, calls: Sequence[Call], delays: Delays) -> None:
        self._times = [(call, _time(call), _own(call, delays)) for call in calls if call.ended is not None]

    def no_freeze(self) -> Finding:
        """Check that no call took `FREEZE` seconds without an excuse, or much longer than the patience with an excuse."""
        found = Finding(
            "no_freeze", f"No call took {FREEZE:g} s except for the locks of others", len(self._times), "calls"
        )
        found.broken += [
            f"{call.tool} of {call.client} took {time:.1f} s, {own:.1f} s of them without an excuse"
            for call, time, own in self._times
            if own > FREEZE or time > own + PATIENCE + FREEZE
        ]
        return found

    def figures(self) -> dict[str, Any]:
        """Return the median, the 99th percentile and the longest time, in milliseconds."""
        times = sorted(time for _, time, _ in self._times)
        own = max((own for _, _, own in self._times), default=0.0)
        return {
            "call_p50_ms": _at(times, 0.5),
            "call_p99_ms": _at(times, 0.99),
            "call_longest_ms": _at(times, 1),
            "call_longest_own_ms": round(own * 1000, 1),
        }


def _time(call: Call) -> float:
    assert call.ended is not None, "it was answered"
    return call.ended - call.begun - float(call.arguments.get("wait_seconds", 0))


def _own(call: Call, delays: Delays) -> float:
    return max(0.0, _time(call) - delays.excused(call.begun, call.ended or call.begun))


def _at(times: list[float], share: float) -> float | None:
    """Return the time in milliseconds that this share of the calls does not exceed."""
    return round(times[min(len(times) - 1, int(share * len(times)))] * 1000, 1) if times else None


def done_once(history: History, names: Mapping[int, str]) -> Finding:
    """Check that each creation took effect once or never, and whole, with a request_id or without, and was answered so.

    A feature that may have been archived is created again by a batch without the request_id.
    """
    found = Finding("once", "Each repeated creation took effect once", unit="creations")
    ids: dict[str, set[int]] = defaultdict(set)
    for feature, name in names.items():
        ids[name].add(feature)
    archived = {call.arguments["feature_id"] for call in history.calls if call.arguments.get("archived")}
    sent: dict[tuple[str, ...], list[Call]] = defaultdict(list)
    for call in history.calls:
        if call.tool in CREATES and not call.arguments.get("allow_duplicates"):
            sent[_key(call)].append(call)
    for key, calls in sent.items():
        found.checked += 1
        new = _new_names(calls[0])
        answers = {tuple((call.answer or {}).get("ids", ())) for call in calls if not call.lost and not call.refused}
        made = [len(ids[name]) - len(ids[name] & archived) for name in new]
        what = f"{', '.join(key)}: sent {len(calls)} times"
        if len(answers) > 1 and not archived & {*chain(*answers)}:
            found.broken.append(f"{what}, with {len(answers)} different answers")
        if any(names.get(feature) != name for answer in answers for feature, name in zip(answer, new, strict=True)):
            found.broken.append(f"{what}, and answered with the ids of other features")
        if max(made) > 1 or len({bool(ids[name]) for name in new}) > 1 or (answers and not ids[new[0]]):
            found.broken.append(f"{what}, and took effect {made} times")
    return found


def _key(call: Call) -> tuple[str, ...]:
    return (call.arguments["request_id"],) if "request_id" in call.arguments else tuple(_new_names(call))


def _new_names(call: Call) -> list[str]:
    return [one["name"] for one in call.arguments.get("features", [call.arguments])]


def _histories(history: History) -> Finding:
    found = Finding("histories", "Every answer fits one order of the calls", len(history.calls), "calls")
    found.broken += [str(one) for one in check(history)]
    return found


def _documented(storm: StormState) -> Finding:
    found = Finding(
        "documented", "Every refusal and every end of a server was due", sum(storm.refusals.values()), "refusals"
    )
    found.broken += [f"{count} calls got {code}" for code, count in storm.refusals.items() if code in NEVER]
    found.broken += storm.wrong
    return found


def _nothing_held(storm: StormState, statuses: dict[int, str]) -> Finding:
    found = Finding("given_back", "No claim of a dead holder is left", len(statuses), "features")
    held = [feature for feature, status in statuses.items() if status == Status.IN_PROGRESS]
    found.broken += [*storm.not_taken_back, *(f"feature {feature} is still claimed" for feature in held)]
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


def _figures(storm: StormState, calls: list[Call], seconds: float) -> dict[str, Any]:
    return {
        "seconds": round(seconds, 1),
        "agents": storm.plan.agents,
        "seed": storm.plan.seed,
        "calls": len(calls),
        "answers_lost": sum(call.ended is None for call in calls),
        "refusals": dict(storm.refusals.most_common()),
        "servers": sum(storm.ends.values()),
        "kills": sum(storm.ends[how] for how in BY_SIGKILL),
        "ends": {how.value: storm.ends[how] for how in ServerEnd},
        "strangers": len(storm.foreign_locks.held),
        "releases_given_up": len(storm.not_released),
        "clock_jumps": storm.clock.jumps,
    }
