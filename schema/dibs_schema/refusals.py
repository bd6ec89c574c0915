"""The tree of refusals: every error that a caller of an operation can receive.

Refusal
├── NotFound, Archived, Stuck, WaitingForHuman, NotWaitingForHuman      the feature's status forbids the call
├── AlreadyClaimed, AlreadyHolding, AlreadyPassing, TooManyClaims       it is claimed or done, or a limit is reached
├── NotClaimed, NotReady, ClaimLost, TokenRequired                      the caller does not have the claim
├── NotVerified                                                         the project's verify command has not succeeded
├── UnmetDependencies, WouldCycle, TooManyDependencies                  the dependencies forbid it
├── InvalidInput, RequestReused, Forbidden                              the call is wrong
└── Unavailable                                                         the database cannot serve the call
    ├── Busy, OutcomeUnknown                                            (call again)
    └── DatabaseReplaced, DatabaseDamaged, SchemaNewer,
        UnsafeFilesystem, DiskFull, ReadOnly                            (a person must act)

A refusal states what is true now, and names the next steps as data; each face words them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from dibs_schema.next_step import TOOLS, Step, Wording, word


class Refusal(Exception):  # noqa: N818 - the domain's word for an expected answer
    """A call was refused, and changed nothing.

    `fact` is one or two sentences that say what is true now. `next` are the next steps, the best first.
    `details` are JSON values that the answer carries (ids, names, counts), without nulls.
    """

    code: ClassVar[str]
    retryable: ClassVar[bool] = False
    wording: Wording = TOOLS
    """How `message` writes calls; the Python client sets its own."""

    def __init_subclass__(cls, *, code: str | None = None, retryable: bool | None = None) -> None:
        if code is not None:
            cls.code = code
        if retryable is not None:
            cls.retryable = retryable

    def __init__(self, fact: str, *, next: Sequence[Step] = (), **details: Any) -> None:  # noqa: A002 - the domain's word
        super().__init__(fact)
        self.fact = fact
        self.next = tuple(next)
        self.details = {name: value for name, value in details.items() if value is not None}

    def __str__(self) -> str:
        return self.message

    @property
    def message(self) -> str:
        """The fact and the next steps, worded for an agent that calls tools, or for a Python program."""
        return self.worded(self.wording)

    def worded(self, wording: Wording, verb: str = "Call") -> str:
        """Return the fact and the next steps, worded for one kind of reader."""
        return f"{self.fact} {word(self.next, wording, verb)}".rstrip()

    def answer(self, wording: Wording = TOOLS, verb: str = "Call") -> dict[str, Any]:
        """Return the refusal as it is sent: `{"error": {"code", "message", "retryable", ...details}}`."""
        error = {"code": self.code, "message": self.worded(wording, verb), "retryable": self.retryable}
        return {"error": error | self.details}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the details, since test harnesses send refusals between processes."""
        return partial(type(self), next=self.next, **self.details), (self.fact,)


class NotFound(Refusal, code="not_found"):
    """No feature or question has that id in this project."""


class Archived(Refusal, code="archived"):
    """The feature is archived."""


class Stuck(Refusal, code="stuck"):
    """The feature is quarantined until a planner retries it."""


class WaitingForHuman(Refusal, code="waiting_for_human"):
    """The feature waits for a person's answer."""


class NotWaitingForHuman(Refusal, code="not_waiting_for_human"):
    """There is no open request to answer."""


class AlreadyClaimed(Refusal, code="already_claimed"):
    """The feature is claimed: by another holder, or on this connection, whose claim the refusal then identifies."""


class AlreadyHolding(Refusal, code="already_holding"):
    """The agent already has as many claims as it may have."""


class AlreadyPassing(Refusal, code="already_passing"):
    """The feature is done."""


class TooManyClaims(Refusal, code="too_many_claims"):
    """A connection without an agent name already has as many claims as it may have."""


class NotClaimed(Refusal, code="not_claimed"):
    """The transition needs a claim, and the feature is not claimed."""


class NotReady(Refusal, code="not_ready", retryable=True):
    """The feature is in its back-off, or a live claim may change its files; it will be ready later."""


class ClaimLost(Refusal, code="claim_lost"):
    """The token belongs to a claim that has ended."""


class TokenRequired(Refusal, code="token_required"):
    """The feature is claimed, and nothing shows that the call comes from its holder."""


class UnmetDependencies(Refusal, code="unmet_dependencies"):
    """Features that this one depends on are not passing."""


class NotVerified(Refusal, code="not_verified"):
    """The project's verify command has not succeeded. The claim stays.

    Its detail `cause` is `failed`; `cannot_run`, where nothing that the caller builds can help; or `changed`, if what the
    command proved may no longer hold, and the same call runs it again.
    """


class WouldCycle(Refusal, code="would_cycle"):
    """The dependency would close a cycle."""


class TooManyDependencies(Refusal, code="too_many_dependencies"):
    """The feature would depend on more than `max_dependencies` others."""


class InvalidInput(Refusal, code="invalid_input"):
    """An argument is invalid; `field` is its path."""


class RequestReused(Refusal, code="request_reused"):
    """The request_id was used before, with other arguments."""


class Forbidden(Refusal, code="forbidden"):
    """The caller's role does not permit the operation."""


class Unavailable(Refusal):
    """The database cannot serve the call."""


class Busy(Unavailable, code="busy", retryable=True):
    """The database was not free before the call's deadline; nothing was changed."""


class OutcomeUnknown(Unavailable, code="outcome_unknown", retryable=True):
    """It is unknown whether a COMMIT took effect: its connection broke, or the disk failed during it."""


class DatabaseReplaced(Unavailable, code="database_replaced"):
    """The file was deleted or replaced while the server ran."""


class DatabaseDamaged(Unavailable, code="database_damaged"):
    """The database engine reports damage, or the disk fails. Nothing is repaired in place."""


class SchemaNewer(Unavailable, code="schema_newer"):
    """A newer Dibs has migrated the database."""


class UnsafeFilesystem(Unavailable, code="unsafe_filesystem"):
    """The file system cannot share a write-ahead log between processes."""


class DiskFull(Unavailable, code="disk_full"):
    """There is no room to write."""


class ReadOnly(Unavailable, code="read_only"):
    """The database or its folder cannot be written."""


def all_codes() -> dict[str, type[Refusal]]:
    """Return every refusal code with its class."""
    found: dict[str, type[Refusal]] = {}
    pending = [Refusal]
    while pending:
        kind = pending.pop()
        if "code" in vars(kind):
            found[kind.code] = kind
        pending.extend(kind.__subclasses__())
    return dict(sorted(found.items()))
