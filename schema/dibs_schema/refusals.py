"""The tree of refusals: every error that a caller of an operation can receive.

Refusal
├── NotFound, Archived, Stuck, WaitingForHuman, NotWaitingForHuman      the feature's status forbids it
├── AlreadyClaimed, AlreadyHolding, AlreadyPassing, TooManyClaims      it is claimed or done, or a limit is reached
├── NotClaimed, NotReady, ClaimLost, TokenRequired                      the caller has no such claim
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
from typing import Any, ClassVar

from dibs_schema.next_step import TOOLS, Step, Wording, word


class Refusal(Exception):  # noqa: N818 - the domain's word for an expected answer
    """A call was refused, and changed nothing.

    `fact` is one or two sentences that say what is true now. `next` are the next steps, the best first.
    `details` are JSON values that the answer carries (ids, names, counts), without nulls.
    """

    code: ClassVar[str]
    retryable: ClassVar[bool] = False

    def __init__(self, fact: str, *, next: Sequence[Step] = (), **details: Any) -> None:  # noqa: A002 - the domain's word
        super().__init__(fact)
        self.fact = fact
        self.next = tuple(next)
        self.details = {name: value for name, value in details.items() if value is not None}

    def __str__(self) -> str:
        return self.message

    @property
    def message(self) -> str:
        """The fact and the next steps, worded for an agent that calls tools."""
        return self.worded(TOOLS)

    def worded(self, wording: Wording, verb: str = "Call") -> str:
        """Return the fact and the next steps, worded for one kind of reader."""
        return f"{self.fact} {word(self.next, wording, verb)}".rstrip()

    def answer(self, wording: Wording = TOOLS, verb: str = "Call") -> dict[str, Any]:
        """The refusal as it is sent: `{"error": {"code", "message", "retryable", ...details}}`."""
        error = {"code": self.code, "message": self.worded(wording, verb), "retryable": self.retryable}
        return {"error": error | self.details}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the details, since refusals cross process pools in harnesses."""
        return _restore, (type(self), self.fact, self.next, self.details)


def _restore(kind: type[Refusal], fact: str, next_: Sequence[Step], details: dict[str, Any]) -> Refusal:
    return kind(fact, next=next_, **details)


class NotFound(Refusal):
    """No feature or question has that id in this project."""

    code = "not_found"


class Archived(Refusal):
    """The feature is archived."""

    code = "archived"


class Stuck(Refusal):
    """The feature is quarantined until a planner puts it back."""

    code = "stuck"


class WaitingForHuman(Refusal):
    """The feature waits for a person's answer."""

    code = "waiting_for_human"


class NotWaitingForHuman(Refusal):
    """There is no open request to answer."""

    code = "not_waiting_for_human"


class AlreadyClaimed(Refusal):
    """Another holder has claimed the feature; the refusal says nothing else about it."""

    code = "already_claimed"


class AlreadyHolding(Refusal):
    """The agent already has as many claims as it may."""

    code = "already_holding"


class AlreadyPassing(Refusal):
    """The feature is done."""

    code = "already_passing"


class TooManyClaims(Refusal):
    """A connection without an agent name already has as many claims as it may."""

    code = "too_many_claims"


class NotClaimed(Refusal):
    """The transition needs a claim, and the feature is not claimed."""

    code = "not_claimed"


class NotReady(Refusal):
    """The feature is in its back-off, or a live claim may change its files; it will be ready later."""

    code = "not_ready"
    retryable = True


class ClaimLost(Refusal):
    """The token belongs to a claim that has ended."""

    code = "claim_lost"


class TokenRequired(Refusal):
    """The feature is claimed, and nothing shows that the call comes from its holder."""

    code = "token_required"


class UnmetDependencies(Refusal):
    """Features that this one depends on are not passing."""

    code = "unmet_dependencies"


class WouldCycle(Refusal):
    """The dependency would close a cycle."""

    code = "would_cycle"


class TooManyDependencies(Refusal):
    """The feature would depend on more than `max_dependencies` others."""

    code = "too_many_dependencies"


class InvalidInput(Refusal):
    """An argument is invalid; `field` is its path."""

    code = "invalid_input"


class RequestReused(Refusal):
    """The request_id was used before, with other arguments."""

    code = "request_reused"


class Forbidden(Refusal):
    """The caller's role does not have the operation."""

    code = "forbidden"


class Unavailable(Refusal):
    """The database cannot serve the call."""


class Busy(Unavailable):
    """The database was not free before the call's deadline; nothing was changed."""

    code = "busy"
    retryable = True


class OutcomeUnknown(Unavailable):
    """Nobody knows whether a COMMIT took effect: its connection broke, or the disk failed during it."""

    code = "outcome_unknown"
    retryable = True


class DatabaseReplaced(Unavailable):
    """The file was deleted or replaced while the server ran."""

    code = "database_replaced"


class DatabaseDamaged(Unavailable):
    """The database engine reports damage, or the disk fails. Nothing is repaired in place."""

    code = "database_damaged"


class SchemaNewer(Unavailable):
    """A newer Dibs has migrated the database."""

    code = "schema_newer"


class UnsafeFilesystem(Unavailable):
    """The file system cannot share a write-ahead log between processes."""

    code = "unsafe_filesystem"


class DiskFull(Unavailable):
    """There is no room to write."""

    code = "disk_full"


class ReadOnly(Unavailable):
    """The database or its folder cannot be written."""

    code = "read_only"


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
