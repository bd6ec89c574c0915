"""Checks the rules between features, and the limit of claims for one holder."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from dibs_proof.history.dependencies import Graph
from dibs_proof.history.dependency_rules import complete_means_complete, dependencies_come_first
from dibs_proof.history.expectations import is_hindered
from dibs_proof.history.feature_history import endings
from dibs_proof.history.history import Call, History
from dibs_proof.history.interpret import (
    TRANSITIONS,
    Interpretation,
    claimed_feature,
    holder_of,
    is_claim,
    token_of,
)
from dibs_proof.history.violations import Violation
from dibs_schema.status import Kind

LONGEST_BACK_OFF = 600.0
ROUNDING = 1.0
"""Seconds by which the wall clock, which measures the back-off, may drift from the monotonic clock."""


def check(history: History, interpretation: Interpretation, graph: Graph) -> Iterator[Violation]:
    """Yield every violation of the rules in this module."""
    yield from tokens_are_given_once(history, interpretation)
    yield from dependencies_come_first(history, interpretation, graph)
    yield from complete_means_complete(history, graph)
    yield from skipped_go_last(history)
    yield from no_holder_has_too_many(history, interpretation)
    if history.back_off is not None:
        yield from back_off_is_kept(history, history.back_off)


def tokens_are_given_once(history: History, interpretation: Interpretation) -> Iterator[Violation]:
    """Yield a violation for each token that was given to two claims.

    A repeated request_id returns the same token, and so does a repeated claim on the same connection, and a server that
    was started with the token.
    """
    for token, calls in interpretation.holders.items():
        first = calls[0]
        for other in calls[1:]:
            if other not in interpretation.repeats(first) or claimed_feature(other) != claimed_feature(first):
                yield Violation(
                    "token_twice", claimed_feature(other), f"the token {token} was given out twice", (first, other)
                )
    for call in interpretation.claimed_again:
        token = token_of(call) or ""
        first = interpretation.holders[token][0]
        clients = {
            first.client,
            *(one.client for one in interpretation.senders[token]),  # a sender may have regained it
            *(one.client for one in history.connections.values() if one.claim == token),
        }
        if call.client not in clients or claimed_feature(call) != claimed_feature(first):
            message = f"the token {token} was returned to another connection, or for another feature"
            yield Violation("token_twice", claimed_feature(call), message, (first, call))


def skipped_go_last(history: History) -> Iterator[Violation]:
    """Yield a violation for each skip whose place in the queue is not greater than the places of all earlier skips.

    Skips during a move, or a call that sets a priority, are not checked.
    """
    skipping = CallsOfTool(history, "feature_skip")
    skips: dict[tuple[int, int], Call] = {}
    for call in skipping.done:
        # A repeated call returns the place of the first call.
        skips.setdefault((call.arguments["feature_id"], _place(call)), call)
    by_hand = [one for one in history.calls if one.arguments.get("priority") is not None or one.tool == "feature_move"]
    latest: Call | None = None
    for call in sorted(skips.values(), key=_place):
        if latest is not None and not any(_overlap(one, call, latest) for one in by_hand):
            same = _place(latest) == _place(call)
            if same or call.until < skipping.since(latest):
                why = "the same place as another skip" if same else "a place before that of an earlier skip"
                message = f"a skip got {why}: {_place(call)} and {_place(latest)}"
                yield Violation("skip_order", call.arguments["feature_id"], message, (latest, call))
        if latest is None or skipping.since(call) >= skipping.since(latest):
            latest = call


def _place(call: Call) -> int:
    return int((call.answer or {})["priority"])


def _overlap(one: Call, some: Call, other: Call) -> bool:
    return one.begun <= max(some.until, other.until) and one.until >= min(some.begun, other.begun)


class CallsOfTool:
    """The calls of one tool by feature: `begun` may have taken effect, and `done` certainly did."""

    def __init__(self, history: History, tool: str) -> None:
        self._of: dict[int, list[Call]] = defaultdict(list)
        for call in history.calls:
            if call.tool == tool and (call.lost or not call.refused):
                self._of[call.arguments["feature_id"]].append(call)
        self.begun = [call for calls in self._of.values() for call in calls]
        self.done = [call for call in self.begun if not call.lost]

    def since(self, call: Call) -> float:
        """Return the start of the first call that `call` may repeat: a call with the same token, or without a token."""
        token = call.arguments.get("claim_token")
        same = [
            one.begun
            for one in self._of[call.arguments["feature_id"]]
            if token is None or one.arguments.get("claim_token") in (None, token)
        ]
        return min(call.begun, *same)

    def any_lost(self, feature: int) -> bool:
        """Return whether the answer to a call on the feature was lost."""
        return any(call.lost for call in self._of[feature])


def back_off_is_kept(history: History, back_off: float) -> Iterator[Violation]:
    """Yield a violation for each claim during a back-off, and for each refusal for a back-off that was over."""
    failing = CallsOfTool(history, "feature_mark_failing")
    back_offs: dict[int, list[BackOff]] = defaultdict(list)
    for call in failing.done:
        failures = (call.answer or {}).get("failures", 0)
        if failures:
            seconds = min(LONGEST_BACK_OFF, back_off * 2 ** (failures - 1))
            pause = BackOff(call, failing.since(call), failing.since(call) + seconds, call.until + seconds)
            back_offs[call.arguments["feature_id"]].append(pause)
    retries = [call for call in CallsOfTool(history, "feature_update").begun if call.arguments.get("retry")]
    for call in history.calls:
        feature = claimed_feature(call)
        for pause in back_offs[feature] if feature is not None else ():
            early = call.begun > pause.call.until and call.until < pause.earliest - ROUNDING
            if early and not call.arguments.get("resume") and not _retried(retries, pause, call):
                message = (
                    f"feature {feature} was claimed {pause.earliest - call.until:.1f} s before its back-off was over"
                )
                yield Violation("back_off", feature, message, (pause.call, call))
        if call.code == "not_ready" and not is_hindered(call):
            yield from _back_off_was_due(history, call, back_offs[call.arguments["feature_id"]], failing)


def _retried(retries: list[Call], pause: BackOff, claim: Call) -> bool:
    """Return whether a planner may have ended the back-off before the claim."""
    return any(
        retry.arguments["feature_id"] == pause.call.arguments["feature_id"]
        and pause.begun <= retry.until
        and retry.begun <= claim.until
        for retry in retries
    )


class BackOff(NamedTuple):
    """A failure: its earliest start, and the earliest and the latest end of its back-off."""

    call: Call
    begun: float
    earliest: float
    latest: float


def _back_off_was_due(
    history: History, call: Call, back_offs: list[BackOff], failing: CallsOfTool
) -> Iterator[Violation]:
    feature = call.arguments["feature_id"]
    before = history.start.get(feature)
    if failing.any_lost(feature) or (before is not None and before.state.backs_off):
        return
    if not any(pause.begun <= call.until and call.begun <= pause.latest + ROUNDING for pause in back_offs):
        message = f"feature {feature} was refused for a back-off that was over or never began"
        yield Violation("back_off", feature, message, (*[pause.call for pause in back_offs][-1:], call))


@dataclass(frozen=True, slots=True)
class CertainClaim:
    """A claim, and the time when it was certainly held: from its answer to the first call that may have ended it."""

    call: Call
    since: float
    until: float


def no_holder_has_too_many(history: History, interpretation: Interpretation) -> Iterator[Violation]:
    """Yield a violation for each agent name, or connection without a name, with more claims than the project allows."""
    by_holder: dict[tuple[str, bool], list[CertainClaim]] = defaultdict(list)
    for claim in _certain_claims(history, interpretation):
        call = claim.call
        named = call.arguments.get("agent") or history.connection(call.client).agent
        by_holder[holder_of(history, call), bool(named)].append(claim)
    for (holder, is_named), claims in by_holder.items():
        most = history.max_claims if is_named else history.max_claims_per_connection
        for claim in claims:
            at_once = [other for other in claims if other.since <= claim.since < other.until]
            if len(at_once) > most:
                message = f"{holder} held {len(at_once)} claims at once, and may hold {most}"
                yield Violation("too_many", claimed_feature(claim.call), message, tuple(one.call for one in at_once))
                break


def _certain_claims(history: History, interpretation: Interpretation) -> Iterator[CertainClaim]:
    about: dict[int, list[Call]] = defaultdict(list)
    for call in history.calls:
        feature = claimed_feature(call) or call.arguments.get("feature_id")
        if feature is not None and (call.lost or not call.refused):
            about[feature].append(call)
    for token, calls in interpretation.holders.items():
        feature = claimed_feature(calls[0])
        assert feature is not None
        own = min(calls, key=lambda call: call.until)
        since = own.until
        by_calls = (call.begun for call in about[feature] if call not in calls and _may_end(call, token, since))
        by_itself = (ending.earliest for ending in endings(history, calls))
        yield CertainClaim(own, since, min([math.inf, *by_calls, *by_itself]))


def _may_end(call: Call, token: str, since: float) -> bool:
    if call.until < since:
        return False
    if is_claim(call):
        return bool(call.arguments.get("resume"))
    kind = TRANSITIONS.get(call.tool)
    return kind not in (None, Kind.HEARTBEAT) and call.arguments.get("claim_token") in (None, token)
