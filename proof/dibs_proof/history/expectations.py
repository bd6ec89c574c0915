"""The effect of one call on one feature: the result of the model, which is compared with the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

from dibs_proof.history import model
from dibs_proof.history.history import Call
from dibs_proof.history.model import FeatureState, Limits, Refused, Transition
from dibs_schema.status import Kind, Status

UNKNOWN = "?"
"""The token, and the holder, of a claim whose answer was lost."""

Report = dict[str, Any] | None
"""The content of an answer: the refusal's `code`, or the feature's `status` and counters. None stands for any answer."""
Simulate = Callable[[FeatureState], Iterator[tuple[FeatureState, Report]]]
"""Yields each possible result of the call in a state: the state after it, and its report."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of one call on one feature.

    It happens at one moment from `begun` to `ended`; a `lost` effect may never happen. Only what the answer `reported` is
    compared with the model's report.
    """

    feature: int
    call: Call
    simulate: Simulate
    reported: Report
    begun: float
    ended: float
    creates: bool = False

    @property
    def lost(self) -> bool:
        """Return whether it is unknown if the effect happened."""
        return self.reported is None

    def after(self, state: FeatureState | None) -> list[FeatureState | None]:
        """Return the possible states after the effect that fit the answer; None means that there is no feature."""
        if self.creates:
            return [FeatureState()] if state is None else []
        if state is None:
            return [None] if self.reported == {"code": "not_found"} else []
        return [after for after, report in self.simulate(state) if self._agrees(report)]

    def expected(self, state: FeatureState | None) -> list[Report]:
        """Return the reports that the model allows in a state."""
        return [{"code": "not_found"}] if state is None else [report for _, report in self.simulate(state)]

    def _agrees(self, report: Report) -> bool:
        if self.reported is None:
            return report is None or "code" not in report
        if report is None:
            return "code" not in self.reported
        return all(report.get(name) == value for name, value in self.reported.items())


def simulate_claim(call: Call, holder: str, token: str, reported: Report, *, again: bool) -> Simulate:
    """Return the simulation of a claim, of a resume of the holder's own claim, or of a repeated request_id (`again`)."""
    code = (reported or {}).get("code")
    hindered = is_hindered(call)
    already = has_already_claimed(call)

    def simulate(state: FeatureState) -> Iterator[tuple[FeatureState, Report]]:
        if hindered and state.status is Status.PENDING:
            yield state, reported
            return
        if already:
            for now in (state, *_regained(state, token)):
                if now.token == token:
                    yield now, report_of(now)
            return
        if again and state.token == token:
            yield state, None
        if call.arguments.get("resume") and state.holder in (holder, UNKNOWN):
            taken = model.resume(state, holder, token)
            yield taken, report_of(taken)
        # `cross_feature` checks whether the back-off was over.
        after_back_off = replace(state, backs_off=state.backs_off and code == "not_ready")
        try:
            unmet = code == "unmet_dependencies" or waits_for_answer(call)
            claimed = model.claim(after_back_off, holder, token, unmet=unmet)
        except Refused as refused:
            yield state, {"code": _code(refused, call)}
        else:
            yield claimed, report_of(claimed)

    return simulate


def simulate_report(call: Call, holder: str, token: str, reported: Report) -> Simulate:
    """Return the simulation of a report that a passing feature is broken, with its claim."""
    claim = simulate_claim(call, holder, token, reported, again=False)

    def simulate(state: FeatureState) -> Iterator[tuple[FeatureState, Report]]:
        if has_already_claimed(call) or state.status is Status.IN_PROGRESS:
            yield from claim(state)
            return
        try:
            broken = model.regress(state)
        except Refused as refused:
            yield state, {"code": refused.code}
        else:
            # If the claim is refused, nothing is reported.
            yield from ((after if report and "status" in report else state, report) for after, report in claim(broken))

    return simulate


def has_already_claimed(call: Call) -> bool:
    """Return whether the answer is the caller's own earlier claim."""
    return bool((call.answer or {}).get("already_claimed"))


def is_hindered(call: Call) -> bool:
    """Return whether a claim was refused because another agent works on the same files."""
    return call.code == "not_ready" and "held_by" in (call.answer or {})


def unmet_by(call: Call) -> tuple[bool, ...]:
    """Return whether a dependency was unmet, or a question open that the feature waits for, when the call took effect.

    Its answer says that; both are possible if that was lost.
    """
    if call.lost or call.answer is None:
        return (False, True)
    is_blocked = call.answer.get("blocked_by") or call.answer.get("question_id")
    return (call.code == "unmet_dependencies" or bool(is_blocked),)


def waits_for_answer(call: Call) -> bool:
    """Return whether a call was refused since the feature waits for the answer to a question of `ask_user`."""
    return call.code == "waiting_for_human" and "question_id" in (call.answer or {})


def _code(refused: Refused, call: Call) -> str:
    """Return the code of a refusal, of which the model knows only that something is unmet."""
    return "waiting_for_human" if refused.code == "unmet_dependencies" and waits_for_answer(call) else refused.code


def simulate_transition(kind: Kind, tokens: tuple[str | None, ...], call: Call, limits: Limits) -> Simulate:
    """Return the simulation of a transition with one of the possible tokens; None means without a token."""
    reason = call.arguments.get("reason", "")
    by_question = kind is Kind.ASK and "question_id" in call.arguments

    def simulate(state: FeatureState) -> Iterator[tuple[FeatureState, Report]]:
        for token, unmet in product(tokens, unmet_by(call)):
            for before in (state, *(_regained(state, token) if kind is not Kind.RELEASE else ())):
                try:
                    made = model.transition(
                        before, kind, token, limits, unmet=unmet, reason=reason, by_question=by_question
                    )
                except Refused as refused:
                    yield state, {"code": _code(refused, call)}
                else:
                    if by_question and made.kind is Kind.ASK:  # `questions` checks that it may have been closed
                        yield state, {"code": "not_waiting_for_human"}
                    yield made.state, _acknowledgement(made)
        if len(tokens) > 2:  # the server has issued several tokens, and does not know which of them is meant
            yield state, {"code": "token_required"}
        if kind is Kind.ASK and not by_question and state.token in tokens and state.token is not None:
            yield state, {"status": Status.IN_PROGRESS}  # a person answered at once, and the claim stays

    return simulate


def _regained(state: FeatureState, token: str | None) -> Iterator[FeatureState]:
    """Yield the state with the claim of the token regained, if that is possible.

    The server refuses it while another agent works on the same files or the holder has too many claims.
    """
    with suppress(Refused):
        yield model.regain(state, token)


def _acknowledgement(made: Transition) -> Report:
    if made.kind is None:
        return None
    return report_of(made.state) | ({"failures": 0} if made.kind is Kind.REGRESS else {})


def simulate_change(*changes: Callable[[FeatureState], FeatureState]) -> Simulate:
    """Return the simulation of a change that needs no claim: one of the possible `changes`."""

    def simulate(state: FeatureState) -> Iterator[tuple[FeatureState, Report]]:
        for change in changes:
            try:
                after = change(state)
            except Refused as refused:
                yield state, {"code": refused.code}
            else:
                yield after, report_of(after)

    return simulate


def simulate_force(call: Call, limits: Limits) -> Simulate:
    """Return the simulation of a planner's release of another agent's claim."""
    return simulate_change(*(partial(model.force, limits=limits, unmet=unmet) for unmet in unmet_by(call)))


def simulate_read(state: FeatureState) -> Iterator[tuple[FeatureState, Report]]:
    """Simulate a read of the feature, and yield its unchanged state."""
    yield state, report_of(state)


def simulate_already_holding(holder: str) -> Simulate:
    """Return the simulation of a claim that is refused because `holder` holds this feature already."""

    def simulate(state: FeatureState) -> Iterator[tuple[FeatureState, Report]]:
        yield state, report_of(state) | {"holder": holder if state.holder == UNKNOWN else state.holder}

    return simulate


def report_of(state: FeatureState) -> dict[str, Any]:
    """Return everything that an answer may report about a feature."""
    return {"status": state.status.value, "attempts": state.attempts, "failures": state.failures, "skips": state.skips}
