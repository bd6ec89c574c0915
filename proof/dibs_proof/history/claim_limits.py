"""How long each claim was certainly held, and by whom: nobody holds more than his share."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from dibs_proof.history.feature_history import endings
from dibs_proof.history.history import Call, History
from dibs_proof.history.interpret import CLAIMS, MOVES, Reading, claimed_by, holder_of
from dibs_proof.history.violations import Violation
from dibs_schema.status import Kind


@dataclass(frozen=True, slots=True)
class Holding:
    """A claim, and when it was certainly held: from its answer to the first call that may have ended it."""

    call: Call
    since: float
    until: float


def nobody_holds_too_many(history: History, reading: Reading) -> Iterator[Violation]:
    """An agent's name, and a connection that gave none, hold no more claims at once than the project allows."""
    by_holder: dict[tuple[str, bool], list[Holding]] = defaultdict(list)
    for holding in _holdings(history, reading):
        call = holding.call
        named = call.arguments.get("agent") or history.connection(call.client).agent
        by_holder[holder_of(history, call), bool(named)].append(holding)
    for (holder, is_named), holdings in by_holder.items():
        most = history.max_claims if is_named else history.max_claims_per_connection
        for holding in holdings:
            beside = [other for other in holdings if other.since <= holding.since < other.until]
            if len(beside) > most:
                message = f"{holder} held {len(beside)} claims at once, and may hold {most}"
                yield Violation(
                    "too_many", claimed_by(holding.call), message, tuple(one.call for one in beside)
                )
                break


def _holdings(history: History, reading: Reading) -> Iterator[Holding]:
    about: dict[int, list[Call]] = defaultdict(list)
    for call in history.calls:
        feature = claimed_by(call) or call.arguments.get("feature_id")
        if feature is not None and (call.lost or not call.refused):
            about[feature].append(call)
    for token, calls in reading.holders.items():
        feature = claimed_by(calls[0])
        assert feature is not None
        own = min(calls, key=lambda call: call.until)
        since = own.until
        by_calls = (
            call.begun for call in about[feature] if call not in calls and _may_end(call, token, since)
        )
        by_itself = (ending.earliest for ending in endings(history, calls))
        yield Holding(own, since, min([math.inf, *by_calls, *by_itself]))


def _may_end(call: Call, token: str, since: float) -> bool:
    if call.until < since:
        return False
    if call.tool in CLAIMS:
        return bool(call.arguments.get("resume"))
    kind = MOVES.get(call.tool)
    return kind not in (None, Kind.HEARTBEAT) and call.arguments.get("claim_token") in (None, token)
