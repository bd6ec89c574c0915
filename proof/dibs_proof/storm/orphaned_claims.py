"""What became of the claims of servers that ended: given back at once, or taken back in time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dibs_proof.checks.claim_periods import Tenure, tenures
from dibs_proof.checks.invariants import Finding
from dibs_proof.checks.journal import Event
from dibs_proof.history.history import Connection, History
from dibs_proof.storm.excused_delays import Delays
from dibs_proof.storm.journal_watcher import Witness
from dibs_schema.status import Kind

GIVEN_BACK = 3.0
"""Seconds within which a server whose input is closed, or that is told to end, has given everything back."""
TAKEN_BACK = 3.0
"""Seconds after its lease, and the third of one between two looks for such, within which a dead server's claim is
taken back: each look is a transaction in a queue with all others, and who had to wait in it leaves the next one out."""


@dataclass(frozen=True, slots=True)
class Life:
    """One server: what its client is called, in the history and in the journal, and how and when it ended."""

    client: str
    agent: str
    lease: float
    how: str
    at: float


def names_of(history: History, journal: Iterable[Event]) -> dict[str, str]:
    """What each client is called in the journal: by its server's name, or as it has signed a note there."""
    names = {client: one.agent for client, one in history.connections.items() if one.agent is not None}
    notes = {event.words: event.agent for event in journal if event.kind == Kind.NOTE}
    return names | {client: notes[client] for client in history.connections if client in notes}


def lives(history: History, names: Mapping[str, str]) -> dict[str, list[Life]]:
    """Every server that has ended, by its name in the journal, in the order of their ends."""
    found: dict[str, list[Life]] = defaultdict(list)
    for one in history.connections.values():
        end = _end(one)
        if one.client in names and end is not None:
            found[names[one.client]].append(Life(one.client, names[one.client], one.lease, *end))
    for several in found.values():
        several.sort(key=lambda life: life.at)
    return found


def _end(one: Connection) -> tuple[str, float] | None:
    ends = [
        (change.at, change.change) for change in one.interruptions if change.change in ("killed", "closed")
    ]
    if not ends:
        return None
    at, how = min(ends)
    return how, at


class Deaths:
    """Each claim that outlived its server, and when it ended."""

    def __init__(
        self,
        history: History,
        journal: list[Event],
        names: Mapping[str, str],
        witness: Witness,
        delays: Delays,
    ) -> None:
        self._lives = lives(history, names)
        self._witness = witness
        self._delays = delays
        self._repeated = _repeated(history)
        self.left = [
            (tenure, life) for tenure in tenures(journal) if (life := self._holder(tenure)) is not None
        ]
        self.longest = 0.0

    def _holder(self, tenure: Tenure) -> Life | None:
        """The server that the claim was made by, or kept up by at last, if it ended before the claim."""
        begun = self._witness.of(tenure.begun.id)
        after = [life for life in self._lives.get(tenure.begun.agent, ()) if life.at >= begun.low]
        if not after:
            return None
        ended = self._witness.of(tenure.ended.id).high if tenure.ended is not None else math.inf
        heirs = [life for life in after if life.client in self._repeated[after[0].client]]
        last = max([after[0], *heirs], key=lambda life: life.at)
        return last if last.at <= ended else None

    def figures(self) -> dict[str, Any]:
        """How long it took at most until a dead server's claim was taken back."""
        return {"claims_of_the_dead": len(self.left), "taken_back_after_s": round(self.longest, 1)}

    def given_back(self) -> Finding:
        """What was told to end gave back what it held, at once; what could not for others' locks has said so."""
        found = Finding("released", "What ended in peace gave its claims back at once", unit="claims")
        for tenure, life in self.left:
            if life.how != "closed" or (tenure.ended is not None and tenure.ended.kind == Kind.RESUME):
                continue
            if self._delays.blocked(life.at, life.at + GIVEN_BACK) or life.client in self._delays.gave_up:
                continue
            found.checked += 1
            late = self._after(tenure, life, GIVEN_BACK)
            if tenure.ended is None or tenure.ended.kind == Kind.EXPIRE or late > 0:
                what = tenure.ended.kind if tenure.ended is not None else "nothing"
                found.broken.append(f"{tenure}: its server ended in peace, and {what} followed")
        return found

    def taken_back(self) -> Finding:
        """What the killed held was free for others once its lease had run out."""
        found = Finding("in_time", "What the killed held was taken back in time", unit="claims")
        for tenure, life in self.left:
            if life.how != "killed" or (tenure.ended is not None and tenure.ended.kind != Kind.EXPIRE):
                continue
            found.checked += 1
            if tenure.ended is None:
                found.broken.append(f"{tenure} was not taken back, though its server had been killed")
                continue
            allowed = life.lease * 4 / 3 + TAKEN_BACK
            late = self._after(tenure, life, allowed)
            self.longest = max(self.longest, self._witness.of(tenure.ended.id).low - life.at)
            if late > 0:
                found.broken.append(
                    f"{tenure} was taken back {late:.1f} s later than it should after its server had been killed"
                )
        return found

    def _after(self, tenure: Tenure, life: Life, allowed: float) -> float:
        """By how many seconds the claim's end came later than allowed, beside what others and the machine took."""
        if tenure.ended is None:
            return math.inf
        low = self._witness.of(tenure.ended.id).low
        return low - life.at - allowed - self._delays.excused(life.at, low) if low > life.at else -allowed


def _repeated(history: History) -> dict[str, set[str]]:
    """For each client, those that have sent a request_id of its own again, and may have got its claim by that."""
    found: dict[str, set[str]] = defaultdict(set)
    first: dict[str, str] = {}
    for key, client in _keys(history):
        if first.setdefault(key, client) != client:
            found[first[key]].add(client)
    return found


def _keys(history: History) -> Iterator[tuple[str, str]]:
    for call in sorted(history.calls, key=lambda one: one.begun):
        if call.tool == "feature_claim_and_get" and "request_id" in call.arguments:
            yield call.arguments["request_id"], call.client
