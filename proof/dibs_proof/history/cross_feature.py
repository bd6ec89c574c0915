"""What must hold between features."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from dibs_proof.history.dependencies import Graph
from dibs_proof.history.expectations import is_hindered
from dibs_proof.history.history import Call, History
from dibs_proof.history.interpret import CREATES, Reading, claimed_by
from dibs_proof.history.violations import Violation

LONGEST_BACK_OFF = 600.0
ROUNDING = 1.0
"""Seconds by which the wall clock, which back-off is counted in, may drift from the monotonic one meanwhile."""


def check(history: History, reading: Reading, graph: Graph) -> Iterator[Violation]:
    """Everything that is found against the history."""
    yield from tokens_are_given_once(reading)
    yield from dependencies_come_first(history, reading, graph)
    yield from complete_means_complete(history, graph)
    yield from skipped_go_last(history)
    if history.back_off is not None:
        yield from failed_ones_rest(history, history.back_off)


def tokens_are_given_once(reading: Reading) -> Iterator[Violation]:
    """No token is given to two claims; the same request_id brings the same token."""
    for token, calls in reading.holders.items():
        first = calls[0]
        for other in calls[1:]:
            if other not in reading.repeats(first) or claimed_by(other) != claimed_by(first):
                yield Violation(
                    "token_twice", claimed_by(other), f"the token {token} was given out twice", (first, other)
                )


def dependencies_come_first(history: History, reading: Reading, graph: Graph) -> Iterator[Violation]:
    """What was claimed or passed had nothing left to wait for, and what was refused for that had."""
    known = {*history.start, *(number for call in history.calls for number in _created(call))}
    for call in history.calls:
        feature = claimed_by(call) or call.arguments.get("feature_id")
        if call.lost or feature not in known or call.ended is None:
            continue
        span = (min(one.begun for one in reading.repeats(call)), call.ended)
        if call.code == "unmet_dependencies" and call.answer is not None:
            if not graph.may_wait(feature, call.answer.get("unmet", []), span):
                message = f"feature {feature} was refused for dependencies that were met, or not its own"
                yield Violation("dependency", feature, message, (call,))
            continue
        if reading.had_nothing_unmet(call) and not graph.met(feature, span):
            needs = [need for need in graph.edges[feature] if not graph.met_by(feature, need, span)]
            what = "claimed" if claimed_by(call) else "passed"
            which = ", ".join(map(str, needs or graph.edges[feature]))
            message = f"feature {feature} was {what} while it depended on what was not passing: {which}"
            yield Violation("dependency", feature, message, (*_about(history, needs, span[1]), call))


def _about(history: History, features: list[int], until: float) -> list[Call]:
    """The last call that ended before and is about any of these features."""
    before = [
        call
        for call in history.calls
        if (claimed_by(call) or call.arguments.get("feature_id")) in features and call.until <= until
    ]
    return before[-2:]


def complete_means_complete(history: History, graph: Graph) -> Iterator[Violation]:
    """Who is told that everything is done finds nothing open."""
    for call in history.calls:
        answer = call.answer or {}
        if call.refused or call.ended is None or answer.get("state") != "complete":
            continue
        there = [*history.start]
        there += [number for one in history.calls if one.until <= call.begun for number in _created(one)]
        span = (call.begun, call.ended)
        if not graph.may_be_complete(there, span):
            still = [number for number in there if not graph.may_be_complete([number], span)]
            message = f"{call.client} was told that all is complete while features were open: {still[:10]}"
            yield Violation(
                "complete", still[0] if still else None, message, (*_about(history, still, span[1]), call)
            )


def _created(call: Call) -> list[int]:
    if call.tool not in CREATES or call.refused or call.answer is None:
        return []
    return list(call.answer.get("ids", []))


def skipped_go_last(history: History) -> Iterator[Violation]:
    """A skipped feature gets a place behind every other: each skip a greater one than those before, and its own.

    Where somebody sets priorities by hand meanwhile, nothing is said.
    """
    asked = Asked(history, "feature_skip")
    skips: dict[tuple[int, int], Call] = {}
    for call in asked.done:
        # A repetition is answered with the place that was given before.
        skips.setdefault((call.arguments["feature_id"], _place(call)), call)
    by_hand = [one for one in history.calls if one.arguments.get("priority") is not None]
    latest: Call | None = None
    for call in sorted(skips.values(), key=_place):
        if latest is not None and not any(_overlap(one, call, latest) for one in by_hand):
            same = _place(latest) == _place(call)
            if same or call.until < asked.since(latest):
                why = "the same place" if same else "a place before one that was given later"
                message = f"a skip was given {why} in the queue: {_place(call)} and {_place(latest)}"
                yield Violation("skip_order", call.arguments["feature_id"], message, (latest, call))
        if latest is None or asked.since(call) >= asked.since(latest):
            latest = call


def _place(call: Call) -> int:
    return int((call.answer or {})["priority"])


def _overlap(one: Call, some: Call, other: Call) -> bool:
    return one.begun <= max(some.until, other.until) and one.until >= min(some.begun, other.begun)


class Asked:
    """The calls of one tool by feature: those that were `done`, and since when each may have been."""

    def __init__(self, history: History, tool: str) -> None:
        self._of: dict[int, list[Call]] = defaultdict(list)
        for call in history.calls:
            if call.tool == tool and (call.lost or not call.refused):
                self._of[call.arguments["feature_id"]].append(call)
        self.done = [call for calls in self._of.values() for call in calls if not call.lost]

    def since(self, call: Call) -> float:
        """When the first call began that this one may repeat: with the same token, or where one is left out."""
        token = call.arguments.get("claim_token")
        same = [
            one.begun
            for one in self._of[call.arguments["feature_id"]]
            if token is None or one.arguments.get("claim_token") in (None, token)
        ]
        return min(call.begun, *same)

    def any_lost(self, feature: int) -> bool:
        """Whether there is a call on the feature of which nobody knows whether it has happened."""
        return any(call.lost for call in self._of[feature])


def failed_ones_rest(history: History, back_off: float) -> Iterator[Violation]:
    """After a failure a feature is not claimed before its back-off is over, and not refused for it afterwards."""
    asked = Asked(history, "feature_mark_failing")
    rests: dict[int, list[Rest]] = defaultdict(list)
    for call in asked.done:
        failures = (call.answer or {}).get("failures", 0)
        if failures:
            pause = min(LONGEST_BACK_OFF, back_off * 2 ** (failures - 1))
            rest = Rest(call, asked.since(call), asked.since(call) + pause, call.until + pause)
            rests[call.arguments["feature_id"]].append(rest)
    for call in history.calls:
        feature = claimed_by(call)
        for rest in rests[feature] if feature is not None else ():
            early = call.begun > rest.call.until and call.until < rest.earliest - ROUNDING
            if early and not call.arguments.get("resume"):
                message = f"feature {feature} was claimed {rest.earliest - call.until:.1f} s before its back-off was over"
                yield Violation("back_off", feature, message, (rest.call, call))
        if call.code == "not_ready" and not is_hindered(call):
            yield from _rested_enough(history, call, rests[call.arguments["feature_id"]], asked)


class Rest(NamedTuple):
    """A failure, when it may have begun, and when the back-off after it ended: at the earliest, at the latest."""

    call: Call
    begun: float
    earliest: float
    latest: float


def _rested_enough(history: History, call: Call, rests: list[Rest], asked: Asked) -> Iterator[Violation]:
    feature = call.arguments["feature_id"]
    before = history.start.get(feature)
    if asked.any_lost(feature) or (before is not None and before.one.backs_off):
        return
    if not any(rest.begun <= call.until and call.begun <= rest.latest + ROUNDING for rest in rests):
        message = f"feature {feature} was refused for a back-off that was over, or never was"
        yield Violation("back_off", feature, message, (*[rest.call for rest in rests][-1:], call))
