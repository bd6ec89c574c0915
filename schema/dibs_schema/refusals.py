"""The one tree of refusals: every way in which Dibs says no, in words for the agent that reads them.

Refusal
├── NotFound, Archived, Stuck, WaitingForHuman, NotWaitingForHuman      the feature is elsewhere
├── AlreadyClaimed, AlreadyHolding, AlreadyPassing, TooManyClaims      somebody has it, or you have enough
├── NotClaimed, NotReady, ClaimLost, TokenRequired                      the claim is not what you think
├── UnmetDependencies, WouldCycle, TooManyDependencies                  the graph forbids it
├── InvalidInput, RequestReused, Forbidden                              the call itself is wrong
└── Unavailable                                                         the database cannot serve it now
    ├── Busy, OutcomeUnknown                                            (ask again)
    └── DatabaseReplaced, DatabaseDamaged, SchemaNewer,
        UnsafeFilesystem, DiskFull, ReadOnly                            (a person must act)

A message says what is true now, and then which call comes next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from dibs_schema.next_step import TOOLS, Step, Wording, word


class Refusal(Exception):  # noqa: N818 - the domain's word; it is an answer, not a fault
    """A call was refused, and nothing was changed by it.

    `fact` is one or two sentences that say what is true now. `next` are the calls that lead on, best first.
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
        """The fact and the next steps, worded for one kind of reader."""
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
    """The feature was taken off the board."""

    code = "archived"


class Stuck(Refusal):
    """The feature is quarantined until a person or planner has looked."""

    code = "stuck"


class WaitingForHuman(Refusal):
    """The feature waits for a person's answer."""

    code = "waiting_for_human"


class NotWaitingForHuman(Refusal):
    """There is no open request to answer."""

    code = "not_waiting_for_human"


class AlreadyClaimed(Refusal):
    """Another holder has the feature; the loser learns nothing else of it."""

    code = "already_claimed"


class AlreadyHolding(Refusal):
    """The agent of that name already holds as many claims as it may."""

    code = "already_holding"


class AlreadyPassing(Refusal):
    """The feature is done."""

    code = "already_passing"


class TooManyClaims(Refusal):
    """A connection without an agent name holds as many claims as one may."""

    code = "too_many_claims"


class NotClaimed(Refusal):
    """The move needs a claim, and the feature is not claimed."""

    code = "not_claimed"


class NotReady(Refusal):
    """The feature backs off after a failure, or a live claim is on its files; it is ready later."""

    code = "not_ready"
    retryable = True


class ClaimLost(Refusal):
    """The token belongs to a claim that has ended."""

    code = "claim_lost"


class TokenRequired(Refusal):
    """The feature is claimed, and this process cannot tell by whom the call is made."""

    code = "token_required"


class UnmetDependencies(Refusal):
    """Features that this one depends on are not passing."""

    code = "unmet_dependencies"


class WouldCycle(Refusal):
    """The edge would close a circle of dependencies."""

    code = "would_cycle"


class TooManyDependencies(Refusal):
    """A feature depends on no more than `max_dependencies` others."""

    code = "too_many_dependencies"


class InvalidInput(Refusal):
    """An argument does not fit; `field` is its path."""

    code = "invalid_input"


class RequestReused(Refusal):
    """The request_id was used before, with other arguments."""

    code = "request_reused"


class Forbidden(Refusal):
    """The role of this server does not have the tool."""

    code = "forbidden"


class Unavailable(Refusal):
    """The database cannot serve the call."""


class Busy(Unavailable):
    """The database was not free before the call's deadline; nothing was begun."""

    code = "busy"
    retryable = True


class OutcomeUnknown(Unavailable):
    """The connection broke between COMMIT and its answer, or the disk failed to say that it is there."""

    code = "outcome_unknown"
    retryable = True


class DatabaseReplaced(Unavailable):
    """The file was deleted or replaced while the server ran."""

    code = "database_replaced"


class DatabaseDamaged(Unavailable):
    """The database engine reports damage, or the disk fails; nothing is repaired in place."""

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
    """Every refusal code, with its class."""
    found: dict[str, type[Refusal]] = {}
    pending = [Refusal]
    while pending:
        kind = pending.pop()
        if "code" in vars(kind):
            found[kind.code] = kind
        pending.extend(kind.__subclasses__())
    return dict(sorted(found.items()))
