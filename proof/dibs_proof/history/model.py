"""A model of one feature in plain Python: the effect of each transition, and its refusals.

The model has no time, no SQL and no other features: its caller says whether a dependency is unmet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from dibs_schema.folding import mask
from dibs_schema.status import ConnectionEnd, Kind, Status

P, I, D, H, S, A = Status  # noqa: E741 - as in the table of transitions
AT_NO_COST = (Kind.RELEASE, Kind.SKIP)
"""The ends of a claim that count as nothing if a dependency has become unmet."""
BLOCKED = {H: "waiting_for_human", S: "stuck", A: "archived"}


class Refused(Exception):  # noqa: N818 - it is a refusal, not an error of the model
    """The model refuses the call, with this code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings of a project after which a feature is stuck."""

    max_failures: int = 3
    max_attempts: int = 10
    max_skips: int = 3
    max_same_failures: int = 3


@dataclass(frozen=True, slots=True)
class FeatureState:
    """The state of one feature in the model. `last_holder` made its latest claim, and `ended` is how that ended.

    `reason` is the reason of its last failures without numbers and paths, and `in_a_row` is how many had it.
    """

    status: Status = P
    token: str | None = None
    holder: str | None = None
    last_holder: str | None = None
    attempts: int = 0
    failures: int = 0
    reason: str = ""
    in_a_row: int = 0
    skips: int = 0
    backs_off: bool = False
    archived_from: Status | None = None
    ended: tuple[str | None, Kind | ConnectionEnd | None] = (None, None)


class Transition(NamedTuple):
    """A transition: the feature after it, and the kind of its event, or None if it repeats an earlier transition."""

    state: FeatureState
    kind: Kind | None


def claim(state: FeatureState, holder: str, token: str, *, unmet: bool) -> FeatureState:
    """Claim a ready feature. Raises Refused."""
    if state.status is P:
        if unmet or state.backs_off:
            raise Refused("unmet_dependencies" if unmet else "not_ready")
        attempts = state.attempts + 1
        return replace(state, status=I, token=token, holder=holder, last_holder=holder, attempts=attempts)
    raise Refused({I: "already_claimed", D: "already_passing", **BLOCKED}[state.status])


def resume(state: FeatureState, holder: str, token: str) -> FeatureState:
    """Take a claim over, with a new token."""
    return replace(state, token=token, holder=holder, last_holder=holder, ended=(state.token, Kind.RESUME))


def regain(state: FeatureState, token: str | None) -> FeatureState:
    """Continue a claim that the end of its holder's connection released. Raises Refused if it is not such a claim."""
    ended_token, ended_by = state.ended
    if state.status is not P or token is None or token != ended_token or not isinstance(ended_by, ConnectionEnd):
        raise Refused("claim_lost")
    attempts = state.attempts + (ended_by is ConnectionEnd.DISCONNECT)
    return replace(state, status=I, token=token, holder=state.last_holder, attempts=attempts)


def transition(
    state: FeatureState,
    kind: Kind,
    token: str | None,
    limits: Limits,
    *,
    unmet: bool,
    reason: str = "",
    by_question: bool = False,
) -> Transition:
    """Make a transition of the given kind, with or without a token; a failure has a `reason`. Raises Refused.

    An ask may name an open question of `ask_user`, `by_question`.
    """
    if token is None:
        return _without_token(state, kind, limits)
    if state.token == token:
        if kind is Kind.PASS and unmet:
            raise Refused("unmet_dependencies")
        return Transition(end(state, kind, limits, reason, unmet=unmet, by_question=by_question), kind)
    if kind is Kind.FAIL and state.status is D and state.ended == (token, Kind.PASS):
        return Transition(regress(state), Kind.REGRESS)
    same = (kind, *ConnectionEnd) if kind is Kind.RELEASE else (kind,)
    if state.ended[0] == token and state.ended[1] in same:
        return Transition(state, None)
    raise Refused("claim_lost")


def _without_token(state: FeatureState, kind: Kind, limits: Limits) -> Transition:
    if kind is Kind.RELEASE and state.status is not I:
        return Transition(state, None)
    if kind is Kind.SKIP and state.status is P:
        return Transition(_skip(state, limits), kind)
    if state.status is D and kind is Kind.FAIL:
        return Transition(regress(state), Kind.REGRESS)
    if state.status is D and kind is Kind.PASS:
        return Transition(state, Kind.VERIFY)
    raise Refused({P: "not_claimed", I: "token_required", D: "already_passing", **BLOCKED}[state.status])


def force(state: FeatureState, limits: Limits, *, unmet: bool = False) -> FeatureState:
    """Release a claim as a planner does, if the feature is claimed."""
    return end(state, Kind.RELEASE, limits, unmet=unmet) if state.status is I else state


def end(
    state: FeatureState,
    kind: Kind,
    limits: Limits,
    reason: str = "",
    *,
    unmet: bool = False,
    by_question: bool = False,
) -> FeatureState:
    """End a claim by a transition of the given kind; a heartbeat ends nothing.

    A release or a skip counts as nothing if a dependency is `unmet`, and so does an ask `by_question`.
    """
    if kind is Kind.HEARTBEAT:
        return state
    free = replace(state, token=None, holder=None, ended=(state.token, kind))
    if by_question or (unmet and kind in AT_NO_COST):
        return replace(free, status=P, attempts=state.attempts - 1)
    match kind:
        case Kind.PASS:
            return replace(free, status=D, attempts=0, failures=0, reason="", in_a_row=0, skips=0, backs_off=False)
        case Kind.ASK:
            return replace(free, status=H)
        case Kind.SKIP:
            return _skip(free, limits)
    if kind is not Kind.RELEASE:
        free = _failed(free, mask(reason) if kind is Kind.FAIL else "")
    failed_too_often = kind is not Kind.RELEASE and free.failures >= limits.max_failures
    same = kind is Kind.FAIL and free.in_a_row >= limits.max_same_failures
    status = S if failed_too_often or same or state.attempts >= limits.max_attempts else P
    return replace(free, status=status, backs_off=kind is Kind.FAIL)


def _failed(state: FeatureState, reason: str) -> FeatureState:
    in_a_row = state.in_a_row + 1 if reason and reason == state.reason else int(bool(reason))
    return replace(state, failures=state.failures + 1, reason=reason, in_a_row=in_a_row)


def disconnect(state: FeatureState, limits: Limits, how: ConnectionEnd) -> FeatureState:
    """End a claim because its holder's connection has ended; only an abandoned claim counts as an attempt."""
    if how is ConnectionEnd.ABANDON:
        return replace(end(state, Kind.RELEASE, limits), ended=(state.token, how))
    ended = (state.token, how)
    return replace(state, status=P, token=None, holder=None, attempts=state.attempts - 1, ended=ended)


def undeliver(state: FeatureState) -> FeatureState:
    """End a claim whose answer could not be delivered; it does not count as an attempt."""
    ended = (state.token, Kind.RELEASE)
    return replace(state, status=P, token=None, holder=None, attempts=state.attempts - 1, ended=ended)


def answer(state: FeatureState) -> FeatureState:
    """Answer a person's request, or withdraw it. Raises Refused."""
    if state.status is not H:
        raise Refused("not_waiting_for_human")
    return replace(state, status=P)


def retry(state: FeatureState) -> FeatureState:
    """Return a feature that is stuck or in its back-off to the queue. Raises Refused."""
    if state.status is not S and not (state.status is P and state.backs_off):
        raise Refused("invalid_input")
    return replace(state, status=P, attempts=0, failures=0, reason="", in_a_row=0, skips=0, backs_off=False)


def archive(state: FeatureState, *, archived: bool) -> FeatureState:
    """Archive or restore a feature; do nothing if it is already in the wanted state. Raises Refused."""
    if archived == (state.status is A):
        return state
    if state.status is I:
        raise Refused("already_claimed")
    if archived:
        return replace(state, status=A, archived_from=state.status)
    assert state.archived_from is not None
    return replace(state, status=state.archived_from, archived_from=None)


def _skip(state: FeatureState, limits: Limits) -> FeatureState:
    skips = state.skips + 1
    return replace(state, status=S if skips >= limits.max_skips else P, skips=skips)


def undo_pass(state: FeatureState, status: Status) -> FeatureState:
    """Return a passing feature to the queue, or let it be stuck, as a person does. Raises Refused."""
    if state.status is not D:
        raise Refused("invalid_input")
    # A repetition of the pass is refused.
    return replace(state, status=status, reason="", in_a_row=0, ended=(None, None))


def regress(state: FeatureState) -> FeatureState:
    """Return a passing feature to pending, since it is broken. Raises Refused."""
    if state.status is not D:
        raise Refused({P: "not_claimed", I: "token_required", **BLOCKED}[state.status])
    return undo_pass(state, P)
