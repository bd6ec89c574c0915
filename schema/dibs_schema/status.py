"""The states of a feature and the transitions between them: one table for code, tests and docs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Status(StrEnum):
    """The state of a feature."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    PASSING = "passing"
    NEEDS_HUMAN = "needs_human"
    STUCK = "stuck"
    ARCHIVED = "archived"


MEANING = {
    Status.PENDING: "waiting; ready when no dependency is unmet, no question that it waits for is open, and no back-off",
    Status.IN_PROGRESS: "claimed: has a claim token, a holder and a lease",
    Status.PASSING: "done and verified",
    Status.NEEDS_HUMAN: "waiting for a person's answer",
    Status.STUCK: "quarantined after too many failures, skips or claims without outcome, or rejected; a person must look",
    Status.ARCHIVED: "no longer part of the work; never blocks its dependents; a restore returns its earlier status",
}


class Kind(StrEnum):
    """The kind of an event: one for each transition, and one for each other change."""

    CREATE = "create"
    CLAIM = "claim"
    RESUME = "resume"
    HEARTBEAT = "heartbeat"
    RELEASE = "release"
    EXPIRE = "expire"
    PASS = "pass"  # noqa: S105 - a transition, not a password
    VERIFY = "verify"
    FAIL = "fail"
    REGRESS = "regress"
    RETURN = "return"
    REJECT = "reject"
    SKIP = "skip"
    ASK = "ask"
    ANSWER = "answer"
    CANCEL = "cancel"
    RETRY = "retry"
    ARCHIVE = "archive"
    RESTORE = "restore"
    NOTE = "note"
    UPDATE = "update"
    DEPEND = "depend"
    UNMET = "unmet"
    MET = "met"
    IMPORT = "import"


Outcome = Literal["passed", "failed", "skipped", "released", "asked", "expired"]
OUTCOMES: dict[str, Outcome] = {
    Kind.PASS: "passed",
    Kind.FAIL: "failed",
    Kind.SKIP: "skipped",
    Kind.RELEASE: "released",
    Kind.ASK: "asked",
    Kind.EXPIRE: "expired",
}
"""How an attempt ends, by the kind of its last event."""


class ConnectionEnd(StrEnum):
    """How the end of its holder's connection ended a claim, in `features.ended_by`. A call with its token regains the claim.

    DISCONNECT counts as no attempt. ABANDON counts as one: the holder made no call about the feature for a whole lease,
    or its agent was started for this claim alone, and has ended.
    """

    DISCONNECT = "disconnect"
    ABANDON = "abandon"


@dataclass(frozen=True, slots=True)
class Transition:
    """One transition: the states it may start from and end in, its guard, and its other effects."""

    kind: Kind
    sources: tuple[Status, ...]
    targets: tuple[Status, ...]
    guard: str
    effects: str


_P, _I, _D, _H, _S, _A = Status

TRANSITIONS: tuple[Transition, ...] = (
    Transition(
        Kind.CREATE,
        (),
        (_P, _D, _H, _S, _A),
        "the arguments and the graph are valid; pending, unless imported in another state",
        "an id is assigned; unmet dependencies are counted",
    ),
    Transition(
        Kind.CLAIM, (_P,), (_I,), "ready, and of the id or category asked for", "attempts + 1; new token; lease"
    ),
    Transition(
        Kind.RESUME,
        (_I, _P),
        (_I,),
        "held by the same agent name; pending, with the token of a claim that its connection's end released",
        "lease; a new token if it was held, and the old one is lost",
    ),
    Transition(Kind.HEARTBEAT, (_I,), (_I,), "token", "lease extended; an event only when it carries a note"),
    Transition(
        Kind.RELEASE,
        (_I,),
        (_P, _S),
        "token, force by a planner, or the end of the holder's connection",
        "claim cleared; stuck at max_attempts; a connection's end counts as no attempt if the holder was at work, nor does "
        "a release while a dependency is unmet",
    ),
    Transition(
        Kind.EXPIRE, (_I,), (_P, _S), "the lease has expired", "failures + 1; stuck at max_failures or max_attempts"
    ),
    Transition(
        Kind.PASS,
        (_I,),
        (_D,),
        "token; no dependency is unmet, and no question that it waits for is open",
        "dependents' unmet_dependencies - 1; evidence stored; attempts, failures, skips reset",
    ),
    Transition(
        Kind.VERIFY,
        (_D,),
        (_D,),
        "status",
        "last_tested_at; evidence stored if given; awaits no recheck; confirmed, unless by the agent that passed it",
    ),
    Transition(
        Kind.FAIL,
        (_I,),
        (_P, _S),
        "token; a reason",
        "failures + 1; back-off; reason stored; stuck at max_failures, max_same_failures or max_attempts",
    ),
    Transition(
        Kind.REGRESS,
        (_D,),
        (_P,),
        "status; a reason",
        "dependents' unmet_dependencies + 1, an event for each; holders keep their claims; passing ones await a recheck",
    ),
    Transition(
        Kind.RETURN,
        (_D,),
        (_P,),
        "status; a person's feedback",
        "dependents as after a regression; the feedback goes to the next claim; times_returned + 1",
    ),
    Transition(
        Kind.REJECT,
        (_D,),
        (_S,),
        "status; a person's reason",
        "dependents as after a regression; the reason goes to the next claim after a retry",
    ),
    Transition(
        Kind.SKIP,
        (_P, _I),
        (_P, _S),
        "token if claimed; a reason",
        "priority = greatest + 1; skips + 1; stuck at max_skips; a claim with an unmet dependency counts as nothing",
    ),
    Transition(
        Kind.ASK,
        (_I,),
        (_H, _P),
        "token; the question, if it names one, is open",
        "request stored; claim cleared; with a question it is pending, waits for that, and counts as no attempt",
    ),
    Transition(
        Kind.ANSWER, (_H, _I), (_P, _I), "status; the answer fits the asked fields", "answer stored for the next claim"
    ),
    Transition(Kind.CANCEL, (_H,), (_P,), "status", "request cleared"),
    Transition(
        Kind.RETRY,
        (_S, _P),
        (_P,),
        "status; pending only in its back-off",
        "attempts, failures, skips and back-off reset",
    ),
    Transition(
        Kind.ARCHIVE,
        (_P, _D, _H, _S),
        (_A,),
        "not claimed",
        "dependents' unmet_dependencies - 1 unless it was passing; archived_from stored",
    ),
    Transition(
        Kind.RESTORE,
        (_A,),
        (_P, _D, _H, _S),
        "status",
        "dependents as after a regression, unless it was passing; returns to archived_from",
    ),
    Transition(
        Kind.IMPORT,
        (_P, _D, _H, _S),
        (_P, _D, _H, _S),
        "status; `dibs import --update`, and from passing or needs_human back only with --force",
        "the state of the file, with its evidence, failure and question; dependents as after a pass or a regression; "
        "attempts, failures, skips reset",
    ),
)

SATISFIED = (Status.PASSING, Status.ARCHIVED)
"""A dependency in one of these states does not block its dependents."""
