"""Checks what answers say of dependencies: claims, passes, refusals, news for holders, and `complete`."""

from __future__ import annotations

from collections.abc import Iterator

from dibs_proof.history.dependencies import Graph, question
from dibs_proof.history.expectations import waits_for_answer
from dibs_proof.history.history import Call, History
from dibs_proof.history.interpret import CREATES, Interpretation, claimed_feature
from dibs_proof.history.violations import Violation

ENDS_AT_NO_COST = ("feature_clear_in_progress", "feature_skip")
"""The tools whose answer may name dependencies that were unmet when an equal, earlier call was made."""


def dependencies_come_first(history: History, interpretation: Interpretation, graph: Graph) -> Iterator[Violation]:
    """Yield a violation for each claim or pass despite an unmet dependency, and for each refusal without one."""
    known = {*history.start, *(number for call in history.calls for number in _created(call))}
    for call in history.calls:
        feature = claimed_feature(call) or call.arguments.get("feature_id")
        if call.lost or feature not in known or call.ended is None:
            continue
        span = (min(one.begun for one in interpretation.repeats(call)), call.ended)
        waits_for = _reported_unmet(call)
        if waits_for is not None:
            if call.tool in ENDS_AT_NO_COST:
                span = (_first_like(history, call).begun, call.ended)
            if not graph.may_wait(feature, waits_for, span):
                what = "refused" if call.refused else "said to wait"
                message = f"feature {feature} was {what} for dependencies that were met, or not its own"
                yield Violation("dependency", feature, message, (call,))
        elif call.tool == "feature_heartbeat" and not call.refused and not graph.met(feature, span):
            message = f"the holder of feature {feature} was not told of an unmet dependency"
            yield Violation("dependency", feature, message, (*_about(history, [*graph.edges[feature]], span[1]), call))
        if interpretation.had_nothing_unmet(call) and not graph.met(feature, span):
            needs = [need for need in graph.edges[feature] if not graph.met_by(feature, need, span)]
            what = "claimed" if claimed_feature(call) else "passed"
            which = ", ".join(map(str, needs or graph.edges[feature]))
            message = f"feature {feature} was {what} while a dependency was not passing: {which}"
            yield Violation("dependency", feature, message, (*_about(history, needs, span[1]), call))


def _reported_unmet(call: Call) -> list[int] | None:
    """Return the unmet dependencies and open questions that an answer names, or None if it names none."""
    answer = call.answer or {}
    if call.code == "unmet_dependencies":
        return list(answer.get("unmet", []))
    if waits_for_answer(call):
        return [question(answer["question_id"])]
    if call.refused or not {"blocked_by", "question_id"} & answer.keys():
        return None
    asked = [question(answer["question_id"])] if "question_id" in answer else []
    return [*answer.get("blocked_by", []), *asked]


def _first_like(history: History, call: Call) -> Call:
    """Return the first call of the same tool on the same feature, whose answer a repeated call returns again."""
    feature = call.arguments["feature_id"]
    return next(one for one in history.calls if one.tool == call.tool and one.arguments["feature_id"] == feature)


def _about(history: History, features: list[int], until: float) -> list[Call]:
    """Return the last two calls on any of `features` that ended by the time `until`."""
    before = [
        call
        for call in history.calls
        if (claimed_feature(call) or call.arguments.get("feature_id")) in features and call.until <= until
    ]
    return before[-2:]


def complete_means_complete(history: History, graph: Graph) -> Iterator[Violation]:
    """Yield a violation for each answer that all features are complete, if a feature was open."""
    for call in history.calls:
        answer = call.answer or {}
        if call.refused or call.ended is None or answer.get("state") != "complete":
            continue
        there = [*history.start]
        there += [number for one in history.calls if one.until <= call.begun for number in _created(one)]
        span = (call.begun, call.ended)
        if not graph.may_be_complete(there, span):
            still = [number for number in there if not graph.may_be_complete([number], span)]
            message = f"{call.client} got the answer `complete` while features were open: {still[:10]}"
            yield Violation("complete", still[0] if still else None, message, (*_about(history, still, span[1]), call))


def _created(call: Call) -> list[int]:
    if call.tool not in CREATES or call.refused or call.answer is None:
        return []
    return list(call.answer.get("ids", []))
