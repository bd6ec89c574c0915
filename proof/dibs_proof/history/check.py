"""Checks that every answer in a history can be true if each call took effect at one moment while it was open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dibs_proof.history import cross_feature, restricted_claims
from dibs_proof.history.dependencies import Graph
from dibs_proof.history.expectations import Effect, Report
from dibs_proof.history.feature_history import FeatureHistory, feature_histories
from dibs_proof.history.history import Call, History
from dibs_proof.history.interpret import Interpretation
from dibs_proof.history.linearizability import Contradiction, Undecided, contradiction
from dibs_proof.history.model import FeatureState, Limits
from dibs_proof.history.questions import questions_are_closed_once
from dibs_proof.history.violations import Violation, state_text
from dibs_schema.status import Status


def check(history: History) -> list[Violation]:
    """Return every violation in the history.

    For each feature its calls must have an order that fits the model, and the rules between features must hold too.
    """
    history = replace(history, calls=sorted(history.calls, key=lambda call: call.begun))
    interpretation = Interpretation(history)
    graph = Graph(history, interpretation)
    found = [*cross_feature.check(history, interpretation, graph)]
    found += restricted_claims.check(history)
    found += questions_are_closed_once(history)
    for feature in feature_histories(history, interpretation, graph).values():
        found += _has_an_order(feature, history.limits)
    return found


def _has_an_order(feature: FeatureHistory, limits: Limits) -> Iterator[Violation]:
    try:
        found = contradiction(feature, limits)
    except Undecided:
        message = f"feature {feature.feature}: too many calls are without an answer"
        yield Violation("undecided", feature.feature, message)
        return
    if found is not None:
        yield _explained(feature, found)


def _explained(feature: FeatureHistory, found: Contradiction) -> Violation:
    effect, first = found.effect, found.states[0]
    where = " or ".join(dict.fromkeys(map(state_text, found.states[:3])))
    wanted = dict.fromkeys(
        _report_text(effect, report) for state in found.reached[:20] for report in effect.expected(state)
    )
    message = (
        f"feature {feature.feature} was {where}, so that the last of these calls should have been "
        f"answered with {' or '.join(wanted) or 'something else'}; no order of the calls gives its answer"
    )
    return Violation(_kind(found), feature.feature, message, tuple(_shortest_history(feature, found, first)))


def _report_text(effect: Effect, report: Report) -> str:
    if report is None or "code" in report:
        return str(report["code"]) if report else "its earlier answer"
    reported = effect.reported or {}
    counted = [f"{name} {value}" for name, value in report.items() if name != "status" and name in reported]
    return ", ".join([str(report["status"]), *counted])


def _kind(found: Contradiction) -> str:
    """Return the most specific kind of violation that the answers prove."""
    reported = found.effect.reported or {}
    wanted = [report for state in found.reached for report in found.effect.expected(state)]
    codes = {report.get("code") if report is not None else None for report in wanted}
    if "code" not in reported:
        if codes & {None, "not_found"}:  # another acknowledgement was correct, or there is no such feature
            return "no_order"
        if "claim_lost" in codes:
            return "late_token"
        return "two_holders" if codes == {"already_claimed"} else "change_lost"
    held = all(state is not None and state.status is Status.IN_PROGRESS for state in found.states)
    return "live_claim_lost" if reported["code"] == "claim_lost" and held else "no_order"


def _shortest_history(feature: FeatureHistory, found: Contradiction, state: FeatureState | None) -> Iterator[Call]:
    """Yield the calls that led to the state, the concurrent calls, and the call that does not fit."""
    tokens = [state.token, state.ended[0]] if state is not None else []
    for token in tokens:
        if token in feature.issued:
            yield feature.issued[token]
    last = found.effect
    before = [effect for effect in feature.effects if effect.ended <= last.ended and effect is not last]
    ends = [
        effect.call
        for effect in before
        if state is not None
        and effect.call.arguments.get("claim_token") == state.ended[0]
        and "code" not in (effect.reported or {})
    ]
    yield from ends[-1:]
    yield from [effect.call for effect in found.concurrent]
    yield found.effect.call
