"""Checks that the claims of ended servers are released or reaped in time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dibs_proof.history.history import Connection, History
from dibs_proof.history.interpret import claimed_feature, token_of
from dibs_proof.invariants import ClaimPeriod, Finding, claim_periods
from dibs_proof.read_database import Event
from dibs_proof.storm.delays import Delays
from dibs_proof.storm.event_watcher import EventWatcher
from dibs_schema.status import Kind, Status

RELEASED = 3.0
"""Seconds within which a server releases its claims after its input has ended or it got SIGTERM."""
TAKEN_BACK = 3.0
"""Seconds within which a dead server's claim is reaped, after its lease and the third of a lease between two reapings.

Each reaping is a transaction in the writer queue, and a server that had to wait there skips the next reaping."""


@dataclass(frozen=True, slots=True)
class EndedServer:
    """A server that ended: its client in the history, its agent in the events, its lease, and its end."""

    client: str
    agent: str
    lease: float
    how: str
    at: float


def names_of(history: History, events: Iterable[Event]) -> dict[str, str]:
    """Return each client's agent name in the events: its server's, or the agent of the note with the client's name."""
    names = {client: one.agent for client, one in history.connections.items() if one.agent is not None}
    notes = {event.text: event.agent for event in events if event.kind == Kind.NOTE}
    return names | {client: notes[client] for client in history.connections if client in notes}


def ended_servers(history: History, names: Mapping[str, str]) -> dict[str, list[EndedServer]]:
    """Return the servers that have ended by their agents' names, in the order of their ends."""
    found: dict[str, list[EndedServer]] = defaultdict(list)
    for one in history.connections.values():
        end = _end(one)
        if one.client in names and end is not None:
            found[names[one.client]].append(EndedServer(one.client, names[one.client], one.lease, *end))
    for several in found.values():
        several.sort(key=lambda server: server.at)
    return found


def _end(one: Connection) -> tuple[str, float] | None:
    ends = [(change.at, change.change) for change in one.interruptions if change.change in ("killed", "closed")]
    if not ends:
        return None
    at, how = min(ends)
    return how, at


class OrphanedClaims:
    """The claims that outlived their servers."""

    def __init__(
        self, history: History, events: list[Event], names: Mapping[str, str], watcher: EventWatcher, delays: Delays
    ) -> None:
        self._servers = ended_servers(history, names)
        self._watcher = watcher
        self._delays = delays
        self._repeaters = _repeaters(history)
        self._adopters = _adopters(history)
        self._orphaned = [
            (claim, server) for claim in claim_periods(events) if (server := self._holder(claim)) is not None
        ]
        self._longest = 0.0

    def _holder(self, claim: ClaimPeriod) -> EndedServer | None:
        """Return the server that made or last renewed the claim, if it ended before the claim did."""
        if claim.begun.kind == Kind.RESUME and claim.begun.source == Status.PENDING:
            return None  # a server of any name regained it
        begun = self._watcher.of(claim.begun.id)
        after = [server for server in self._servers.get(claim.begun.agent, ()) if server.at >= begun.low]
        if not after:
            return None
        ended = self._watcher.of(claim.ended.id).high if claim.ended is not None else math.inf
        first = after[0].client
        others = [server for server in after if server.client in self._repeaters[first]]
        others += [server for server, began in self._adopters[first, claim.begun.feature] if began <= ended]
        last = max([after[0], *others], key=lambda server: server.at)
        return last if last.at <= ended else None

    def figures(self) -> dict[str, Any]:
        """Return the number of orphaned claims, and the longest time until one was reaped."""
        return {"claims_of_the_dead": len(self._orphaned), "taken_back_after_s": round(self._longest, 1)}

    def released(self) -> Finding:
        """Check that servers that were asked to end released their claims at once, or logged that the lock prevented it."""
        found = Finding("released", "Servers that were asked to end released their claims", unit="claims")
        for claim, server in self._orphaned:
            if server.how != "closed" or (claim.ended is not None and claim.ended.kind == Kind.RESUME):
                continue
            blocked = self._delays.blocked(server.at, server.at + RELEASED)
            if blocked or server.client in self._delays.not_released:
                continue
            found.checked += 1
            late = self._seconds_late(claim, server, RELEASED)
            if claim.ended is None or claim.ended.kind == Kind.EXPIRE or late > 0:
                what = claim.ended.kind if claim.ended is not None else "nothing"
                found.broken.append(f"{claim}: its server was asked to end, and {what} followed")
        return found

    def taken_back(self) -> Finding:
        """Check that the claims of killed servers were reaped when their leases had expired."""
        found = Finding("in_time", "The claims of killed servers were reaped in time", unit="claims")
        for claim, server in self._orphaned:
            if server.how != "killed" or (claim.ended is not None and claim.ended.kind != Kind.EXPIRE):
                continue
            found.checked += 1
            if claim.ended is None:
                found.broken.append(f"{claim} was not reaped, though its server had been killed")
                continue
            allowed = server.lease * 4 / 3 + TAKEN_BACK
            late = self._seconds_late(claim, server, allowed)
            self._longest = max(self._longest, self._watcher.of(claim.ended.id).low - server.at)
            if late > 0:
                found.broken.append(f"{claim} was reaped {late:.1f} s too late after its server had been killed")
        return found

    def _seconds_late(self, claim: ClaimPeriod, server: EndedServer, allowed: float) -> float:
        """Return how many seconds later than allowed the claim ended, without the excused delays."""
        if claim.ended is None:
            return math.inf
        low = self._watcher.of(claim.ended.id).low
        return low - server.at - allowed - self._delays.excused(server.at, low) if low > server.at else -allowed


def _repeaters(history: History) -> dict[str, set[str]]:
    """Return for each client the other clients that repeated one of its request_ids, and so may have its claim."""
    found: dict[str, set[str]] = defaultdict(set)
    first: dict[str, str] = {}
    for key, client in _keys(history):
        if first.setdefault(key, client) != client:
            found[first[key]].add(client)
    return found


def _adopters(history: History) -> dict[tuple[str, int], list[tuple[EndedServer, float]]]:
    """Return for each client and feature that it claimed the servers that were started for that claim, and since when.

    Another server may still have the claim, so the end of such a server may release nothing: as if it were killed.
    """
    issued = {token: call for call in reversed(history.calls) if (token := token_of(call)) is not None}
    began = {call.client: call.begun for call in reversed(history.calls)}
    found: dict[tuple[str, int], list[tuple[EndedServer, float]]] = defaultdict(list)
    for one in history.connections.values():
        end, claim = _end(one), issued.get(one.claim or "")
        if end is not None and claim is not None and (feature := claimed_feature(claim)) is not None:
            server = EndedServer(one.client, "", one.lease, "killed", end[1])
            found[claim.client, feature].append((server, began.get(one.client, server.at)))
    return found


def _keys(history: History) -> Iterator[tuple[str, str]]:
    for call in sorted(history.calls, key=lambda one: one.begun):
        if call.tool == "feature_claim_and_get" and "request_id" in call.arguments:
            yield call.arguments["request_id"], call.client
