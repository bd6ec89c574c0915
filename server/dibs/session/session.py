"""One caller of a backlog: its role, its claims, and one function for each operation, for every face."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from dibs.database import Database, VerbJob, WriteJob
from dibs.session.adopted_claim import AdoptedClaim
from dibs.session.caller import CallContext, Caller
from dibs.session.issued_tokens import ClaimMemory
from dibs.session.repeated_claims import RepeatedClaims
from dibs.settings import Settings
from dibs_schema.next_step import TOOLS, Step, Wording
from dibs_schema.refusals import ClaimLost, Forbidden, Refusal, UnmetDependencies, WaitingForHuman
from dibs_schema.roles import Role
from dibs_schema.status import Kind, Status

if TYPE_CHECKING:  # the verbs import SQLAlchemy, which is loaded after `initialize` has been answered
    from dibs.database import Upkeep
    from dibs.database.transaction import Transaction
    from dibs.rules.verification import Verified
    from dibs_schema.answers import Answer
    from dibs_schema.operations import AnyOperation

T = TypeVar("T")
Verb = Callable[["Transaction", str, str | None], T]
"""A transition of a claimed feature: given the transaction, the author and the claim token."""

REAP_PAUSE = 0.25
"""Seconds for which claims do not reap again."""


class Reaper:
    """Decides which claims first reap expired leases."""

    def __init__(self) -> None:
        self._reaped_at = 0.0

    def due(self) -> Upkeep | None:
        """Return REAPING if this session has not reaped for REAP_PAUSE seconds, or None."""
        from dibs.verbs.lease import REAPING

        now = time.monotonic()
        if now - self._reaped_at < REAP_PAUSE:
            return None
        self._reaped_at = now
        return REAPING


class Session:
    """One caller's use of a backlog.

    `claims` remembers the tokens of its claims. `adopted` is the only claim that it may have, if somebody made one for
    it. `wording` writes calls in the caller's form. `closing` is set when the caller's input ends, which ends the calls
    that wait.
    """

    def __init__(
        self, database: Database, settings: Settings, caller: Caller, claims: ClaimMemory, *, wording: Wording = TOOLS
    ) -> None:
        self.database = database
        self.settings = settings
        self.caller = caller
        self.claims = claims
        self.adopted = AdoptedClaim(settings.claim) if settings.claim is not None else None
        self.wording = wording
        self.repeated_claims = RepeatedClaims()
        self.reaper = Reaper()
        self.closing = anyio.Event()
        self.verifying: dict[str, float] = {}
        """When the verify command was started for each claim for which it runs, by its token."""
        self.verified: dict[int, Verified] = {}
        """What was proved before the pass, by the feature."""

    def for_caller(self, caller: Caller, wording: Wording = TOOLS) -> Session:
        """Return a session of another caller, with its wording, that shares everything else with this one."""
        session = copy(self)
        session.caller, session.wording = caller, wording
        if caller.principal is not None:
            session.database = self.database.with_token_name(caller.principal.name)
        return session

    async def perform(self, operation: AnyOperation, arguments: Any, context: CallContext | None = None) -> Answer:
        """Perform an operation and return its answer.

        `arguments` is an instance of the operation's class. Raises Forbidden if the caller's role does not have the
        operation, and the Refusals of its verb or query.
        """
        refuse_role(self.settings.role, operation, self.wording)
        module = importlib.import_module(f"dibs.session.{operation.group}")
        try:
            if self.adopted is not None:
                await self.adopted.join(self, operation)
            answer: Answer = await getattr(module, operation.method)(self, arguments, context or CallContext())
        except Refusal as refusal:
            refusal.next = self._steps(refusal.next)
            raise
        answer = answer.with_steps(self._steps)
        return answer if self.adopted is None else self.adopted.completed(answer)

    def _steps(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Return the next steps that the caller can take."""
        from dibs_schema.operations import steps_for

        found = steps_for(self.settings.role, steps)
        return found if self.adopted is None else self.adopted.steps(found)

    def refuse_foreign_claim(self, tx: Transaction, feature: int, token: str | None) -> None:
        """Raise Forbidden if the claim with this token is of a holder in whose name the caller's access token cannot act.

        So it is for a claim that has ended: its token can still correct evidence, or regain the claim. The holder of a
        token never changes.
        """
        if self.caller.principal is None or token is None:
            return
        from dibs.rules.claim_holders import ended_holder_of
        from dibs.rules.diagnosis import holder_of

        holder = holder_of(tx, feature, token) or ended_holder_of(tx, feature, token)
        if holder is not None:
            self.caller.principal.refuse_claim_of(holder)

    def author(self, feature: int | None = None) -> str:
        """Return the name recorded for an action: the holder of the caller's own claim, else the caller."""
        return (self.claims.author(feature) if feature is not None else None) or self.caller.author

    async def transition(
        self, feature: int, token: str | None, kind: Kind, verb: Verb[T], *, exclusive: bool = True
    ) -> T:
        """Run a transition of a claimed feature with its author and token, and remember how the claim ended."""
        job = TransitionJob(self, feature, token, kind, verb)
        job.exclusive = exclusive
        try:
            answer = await self._write_or_regain(job)
        except ClaimLost:
            self.claims.lose([job.token])
            raise
        except (UnmetDependencies, WaitingForHuman):
            await self.prove_alive(job.token)
            raise
        if kind is not Kind.HEARTBEAT:
            self.claims.end(feature, job.token, kind)
        return answer

    async def _write_or_regain(self, job: TransitionJob[T]) -> T:
        """Run a transition. If its claim is lost and nobody has the feature, try to regain the claim for it."""
        try:
            return await self.database.write(job)
        except ClaimLost as lost:
            if job.token is None or lost.details["status"] != Status.PENDING:
                raise
            return await self.database.write(RegainJob(job, job.token))

    async def prove_alive(self, token: str | None) -> None:
        """Renew the lease of the claim that a call's token proves, if no connection renews it."""
        if token is None or self.caller.connection is not None:
            return
        from dibs.verbs.lease import renew

        with suppress(Refusal):  # the call's own answer matters more
            await self.database.write(VerbJob(lambda tx: renew(tx, [token]), exclusive=False))


def load_operations() -> None:
    """Import the functions of all operations, which import SQLAlchemy."""
    from dibs_schema.operations import OPERATIONS

    for group in dict.fromkeys(one.group for one in OPERATIONS):
        importlib.import_module(f"dibs.session.{group}")


def refuse_role(role: Role, operation: AnyOperation, wording: Wording) -> None:
    """Raise Forbidden if the role does not have the operation."""
    from dibs_schema.operations import offered

    if not role.has(operation.roles):
        names = dict.fromkeys(wording.call(Step(one.tool)) for one in offered(role))
        raise Forbidden(
            f"{wording.call(Step(operation.tool))} is not for the role {role}, which has {', '.join(names)}.",
            tool=operation.tool,
        )


class TransitionJob(WriteJob[T]):
    """A transition of a claimed feature. `token` is the claim token that it used."""

    def __init__(self, session: Session, feature: int, token: str | None, kind: Kind, verb: Verb[T]) -> None:
        self.token: str | None = None
        self.session = session
        self.feature = feature
        self.kind = kind
        self.verb = verb
        self._given = token
        # Claims that were requested earlier are known only when the job runs.
        self._choose = session.claims.choose(feature, token, kind)

    def run(self, tx: Transaction) -> T:
        """Run the verb with the call's token."""
        self.token = self._choose(tx)
        self.session.refuse_foreign_claim(tx, self.feature, self.token)
        author = self.session.author(self.feature)
        try:
            return self.verb(tx, author, self.token)
        except ClaimLost:
            if self._given is not None or not self.session.claims.was_ended_by_holder(self.token):
                raise
            # The caller ended that claim itself, so this call is not about it.
            self.token = None
            return self.verb(tx, author, None)


class RegainJob(WriteJob[T]):
    """A transition with the token of a claim that was released at its connection's end: it regains the claim first."""

    def __init__(self, job: TransitionJob[T], token: str) -> None:
        self._job = job
        self._token = token
        self._holder: str | None = None

    def run(self, tx: Transaction) -> T:
        """Regain the claim and run the verb. Raises ClaimLost if the claim cannot be regained."""
        from dibs.verbs.continue_claim import regain

        job = self._job
        job.session.refuse_foreign_claim(tx, job.feature, self._token)
        keep = job.kind is Kind.HEARTBEAT  # every other transition ends the claim
        self._holder = regain(tx, job.session.caller.holder(None), job.feature, self._token, keep=keep)
        return job.verb(tx, job.session.author(job.feature), self._token)

    def committed(self, result: T) -> None:  # noqa: ARG002 - only the claim matters
        """Remember the claim, so that this connection renews it."""
        if self._holder is not None:
            self._job.session.claims.remember(self._job.feature, self._token, self._holder)
