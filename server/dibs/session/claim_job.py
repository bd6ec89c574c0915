"""The jobs of a claim: from its transaction to the delivery of its answer, or to its undoing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import ClassVar, Self, TypeVar

from dibs.database import WriteJob
from dibs.database.transaction import Row, Transaction
from dibs.rules.claimant import Holder, new_token
from dibs.rules.diagnosis import refuse_shared_claim
from dibs.rules.idempotency import Request, forget, once
from dibs.rules.reports import refuse_unreported
from dibs.session.session import Session
from dibs.verbs import claim
from dibs.verbs.claim_in_one_statement import claim_in_one_statement
from dibs.verbs.continue_claim import claim_again, replay_claim
from dibs.verbs.release import undeliver
from dibs.verbs.report import report_and_claim
from dibs_schema.answers import Acknowledgement, Claimed, Idle
from dibs_schema.operations import claims as arguments
from dibs_schema.refusals import AlreadyHolding, Busy
from dibs_schema.roles import Role

T = TypeVar("T")


class ClaimingJob(WriteJob[T]):
    """A claim, from its transaction to the delivery of its answer. Its token exists before the transaction."""

    tool: ClassVar[str]

    def __init__(self, session: Session, agent: str | None) -> None:
        self.token = new_token()
        self._holder: Holder = session.caller.holder(agent, self.token)
        self._claims = session.claims
        self._reaper = session.reaper
        self._lock = threading.Lock()  # shared by the writer thread, which begins, and a caller, which abandons
        self._begun = False
        self._abandoned = False

    def prepare(self) -> Self:
        """Prepare an attempt: it looks for expired leases first, if the last look was long enough ago."""
        self.upkeep = self._reaper.due()
        return self

    def begin(self) -> None:
        """Record that the transaction may make the claim from now on. Raises Busy if the caller has abandoned it."""
        with self._lock:
            if self._abandoned:
                raise Busy("The call was abandoned. Nothing was changed.")
            self._begun = True

    def abandon(self) -> bool:
        """Prevent the claim. Returns False if it may have been made and must be taken back."""
        with self._lock:
            self._abandoned = True
            return not self._begun

    def own_claim(self, tx: Transaction, feature: int) -> Row | None:
        """Return the row of the caller's own live claim of the feature, with its lease renewed, or None.

        A named holder receives its claim as often as it asks. Callers without a name may be several subagents that
        share a connection, so each of the two claiming tools returns one claim once. Raises AlreadyClaimed after that.
        """
        for one in self._claims.own(feature):
            if self._holder.named and one.name != self._holder.name:
                continue
            row = claim_again(tx, self._holder, feature, one.token)
            if row is None:
                continue
            if not self._holder.named and self.tool in one.tools:
                refuse_shared_claim(tx, row)
            return row
        return None

    def take_back(self, tx: Transaction) -> None:
        """Take back this job's claim, if it made one. The claim does not count as an attempt."""
        self._claims.undo(self.token)
        undeliver(tx, self._holder.name, self.token)


class ClaimJob(ClaimingJob[Claimed | Idle]):
    """A claim of the next ready feature, or of a feature by its id."""

    tool = "feature_claim_and_get"

    def __init__(self, session: Session, args: arguments.ClaimFeature) -> None:
        super().__init__(session, args.agent)
        self._args = args
        self._tester = session.author() if session.settings.role is Role.TESTER else None
        scope = session.caller.request_scope(args.agent, args.request_id)
        fingerprinted = {"feature_id": args.feature_id, "category": args.category, "resume": args.resume}
        fingerprinted |= {"force": True} if args.force else {}
        self._request = Request.of(args.request_id, "feature_claim_and_get", fingerprinted, scope)

    def run(self, tx: Transaction) -> Claimed | Idle:
        """Claim, or return the claim of an earlier call with the same request_id."""
        self.begin()
        return once(
            tx, self._request, Claimed, partial(self._claim, tx), replay=partial(replay_claim, tx, self._holder)
        )

    def _claim(self, tx: Transaction) -> Claimed | Idle:
        args, holder = self._args, self._holder
        if self._tester is not None:
            refuse_unreported(tx, args.feature_id, {self._tester, holder.name})
        if args.feature_id is not None and not args.resume:
            own = self.own_claim(tx, args.feature_id)
            if own is not None:
                return claim.claimed(tx, holder, own, already=True)
        try:
            return claim.claim(
                tx, holder, args.feature_id, category=args.category, resume=args.resume, force=args.force
            )
        except AlreadyHolding as refusal:
            own = self._only_claim(tx, refusal.details["id"])
            if own is None:
                raise
            return claim.claimed(tx, holder, own, already=True)

    def _only_claim(self, tx: Transaction, held: int) -> Row | None:
        """Return the row of the agent name's claim, if it may have only one claim and asks for the next feature."""
        if not self._holder.named or self._args.feature_id is not None or tx.project.settings.max_claims > 1:
            return None
        row = self.own_claim(tx, held)
        return row if row is not None and self._args.category in (None, row["category"]) else None

    def autocommit(self) -> Callable[[Transaction], Claimed | None] | None:
        """Return the claim of the next feature as one statement. Other claims need several."""
        if self._request or self._args.feature_id is not None or self._args.resume or self._tester is not None:
            return None

        def begin_and_claim(tx: Transaction) -> Claimed | None:
            self.begin()
            return claim_in_one_statement(tx, self._holder, self._args.category)

        return begin_and_claim

    def committed(self, result: Claimed | Idle) -> None:
        """Remember the token for the calls that follow."""
        if isinstance(result, Claimed):
            self._claims.remember(result.feature.id, result.claim.token, self._holder.name, self.tool)

    def undo(self, result: Claimed | Idle) -> Callable[[Transaction], object] | None:
        """Return the verb that takes the claim back; a replayed claim belongs to another call."""
        is_own = isinstance(result, Claimed) and result.claim.token == self.token
        return self.take_back if is_own else None

    def settle(self) -> Callable[[Transaction], object] | None:
        """Return the verb that takes the claim back. With a key or a resume, the caller can repeat the call instead."""
        return None if self._request or self._args.resume else self.take_back

    def take_back(self, tx: Transaction) -> None:
        """Take back this job's claim, if it made one, and forget the key, so that it can be used again."""
        self._claims.undo(self.token)
        if undeliver(tx, self._holder.name, self.token):
            forget(tx, self._request)


class MarkJob(ClaimingJob[Acknowledgement]):
    """A claim of a feature whose text the caller already knows."""

    tool = "feature_mark_in_progress"

    def __init__(self, session: Session, feature: int, agent: str | None = None) -> None:
        super().__init__(session, agent)
        self._feature = feature

    def run(self, tx: Transaction) -> Acknowledgement:
        """Claim the feature, or return the caller's own claim of it."""
        self.begin()
        return claim.mark_in_progress(tx, self._holder, self._feature, own=self.own_claim(tx, self._feature))

    def committed(self, result: Acknowledgement) -> None:
        """Remember the token for the calls that follow."""
        assert result.token is not None, "the answer to a claim"
        self._claims.remember(self._feature, result.token, self._holder.name, self.tool)

    def undo(self, result: Acknowledgement) -> Callable[[Transaction], object] | None:
        """Return the verb that takes the claim back, if this job made it."""
        return None if result.already_claimed else self.take_back

    def settle(self) -> Callable[[Transaction], object]:
        """Return the verb that takes the claim back."""
        return self.take_back


class ReportJob(MarkJob):
    """A report that a passing feature is broken, together with its claim. If the claim is undone, the report stays."""

    tool = "feature_mark_failing"

    def __init__(self, session: Session, feature: int, reason: str) -> None:
        super().__init__(session, feature)
        self._author = session.author()
        self._reason = reason

    def run(self, tx: Transaction) -> Acknowledgement:
        """Report and claim the feature, or return the claim of an earlier call with the same reason."""
        self.begin()
        own = self.own_claim(tx, self._feature)
        return report_and_claim(tx, self._author, self._holder, self._feature, self._reason, own)
