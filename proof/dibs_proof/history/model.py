"""A model in plain Python of what can happen to one feature: what each move does, and when it is refused.

It knows no time, no SQL and no other feature: whether a dependency is unmet is told to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from dibs_schema.status import Kind, Status

P, I, D, H, S, A = Status  # noqa: E741 - as in the table of moves
RESTING = {H: "waiting_for_human", S: "stuck", A: "archived"}


class No(Exception):  # noqa: N818 - it is the model's word for a refusal
    """The model refuses, with this code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Limits:
    """The rules of a project that say when a feature is stuck."""

    max_failures: int = 3
    max_attempts: int = 10
    max_skips: int = 3


@dataclass(frozen=True, slots=True)
class Sketch:
    """One feature as the model has it."""

    status: Status = P
    token: str | None = None
    holder: str | None = None
    attempts: int = 0
    failures: int = 0
    skips: int = 0
    backs_off: bool = False
    archived_from: Status | None = None
    ended: tuple[str | None, Kind | None] = (None, None)


class Made(NamedTuple):
    """A move that was made: the feature after it, and its event; None where it only repeats one."""

    one: Sketch
    kind: Kind | None


def claim(one: Sketch, holder: str, token: str, *, unmet: bool) -> Sketch:
    """Who claims a ready feature has it."""
    if one.status is P:
        if unmet or one.backs_off:
            raise No("unmet_dependencies" if unmet else "not_ready")
        return replace(one, status=I, token=token, holder=holder, attempts=one.attempts + 1)
    raise No({I: "already_claimed", D: "already_passing", **RESTING}[one.status])


def resume(one: Sketch, token: str) -> Sketch:
    """Take a claim over, under a fresh token."""
    return replace(one, token=token, ended=(one.token, Kind.RESUME))


def move(one: Sketch, kind: Kind, token: str | None, limits: Limits, *, unmet: bool) -> Made:
    """Make a move of a claim, or the like of it without a token."""
    if token is None:
        return _without_token(one, kind, limits)
    if one.token == token:
        if kind is Kind.PASS and unmet:
            raise No("unmet_dependencies")
        return Made(end(one, kind, limits), kind)
    if kind is Kind.FAIL and one.status is D and one.ended == (token, Kind.PASS):
        return Made(_regress(one), Kind.REGRESS)
    if one.ended == (token, kind):
        return Made(one, None)
    raise No("claim_lost")


def _without_token(one: Sketch, kind: Kind, limits: Limits) -> Made:
    if kind is Kind.SKIP and one.status is P:
        return Made(_skip(one, limits), kind)
    if one.status is D and kind is Kind.FAIL:
        return Made(_regress(one), Kind.REGRESS)
    if one.status is D and kind is Kind.PASS:
        return Made(one, Kind.VERIFY)
    raise No({P: "not_claimed", I: "token_required", D: "already_passing", **RESTING}[one.status])


def force(one: Sketch, limits: Limits) -> Sketch:
    """A planner frees a claim."""
    if one.status is not I:
        raise No({P: "not_claimed", D: "already_passing", **RESTING}[one.status])
    return end(one, Kind.RELEASE, limits)


def end(one: Sketch, kind: Kind, limits: Limits) -> Sketch:
    """End a claim by a move of that kind; a heartbeat ends nothing."""
    if kind is Kind.HEARTBEAT:
        return one
    free = replace(one, token=None, holder=None, ended=(one.token, kind))
    match kind:
        case Kind.PASS:
            return replace(free, status=D, attempts=0, failures=0, skips=0, backs_off=False)
        case Kind.ASK:
            return replace(free, status=H)
        case Kind.SKIP:
            return _skip(free, limits)
    failures = one.failures + (kind in (Kind.FAIL, Kind.EXPIRE))
    failed_too_often = kind is not Kind.RELEASE and failures >= limits.max_failures
    status = S if failed_too_often or one.attempts >= limits.max_attempts else P
    return replace(free, status=status, failures=failures, backs_off=kind is Kind.FAIL)


def undeliver(one: Sketch) -> Sketch:
    """A claim whose answer could not be delivered is taken back: it counts as no attempt."""
    ended = (one.token, Kind.RELEASE)
    return replace(one, status=P, token=None, holder=None, attempts=one.attempts - 1, ended=ended)


def answer(one: Sketch) -> Sketch:
    """A person answers, or the request is withdrawn."""
    if one.status is not H:
        raise No("not_waiting_for_human")
    return replace(one, status=P)


def retry(one: Sketch) -> Sketch:
    """A stuck feature is put back."""
    if one.status is not S:
        raise No("invalid_input")
    return replace(one, status=P, attempts=0, failures=0, skips=0, backs_off=False)


def archive(one: Sketch, *, archived: bool) -> Sketch:
    """A feature is taken off the board, or brought back; where it is so already, nothing happens."""
    if archived == (one.status is A):
        return one
    if one.status is I:
        raise No("already_claimed")
    if archived:
        return replace(one, status=A, archived_from=one.status)
    assert one.archived_from is not None
    return replace(one, status=one.archived_from, archived_from=None)


def _skip(one: Sketch, limits: Limits) -> Sketch:
    skips = one.skips + 1
    return replace(one, status=S if skips >= limits.max_skips else P, skips=skips)


def _regress(one: Sketch) -> Sketch:
    # That pass is undone, and repeating it acknowledges nothing.
    return replace(one, status=P, ended=(None, None))
