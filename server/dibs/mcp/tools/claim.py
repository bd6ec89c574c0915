"""The tools of a worker: claim a feature, keep it, and end the claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated

from pydantic import Field

from dibs.database import WriteJob
from dibs.database.transaction import Transaction
from dibs.mcp.context import Ctx, connection_of
from dibs.mcp.progress import claim_waiting
from dibs.rules.claimant import Holder
from dibs.rules.idempotency import Request, forget, once
from dibs.session.session import Connection
from dibs.verbs import claim, lease, outcome, skip
from dibs.verbs.claim_in_one_statement import claim_alone
from dibs.verbs.note import add_note
from dibs.verbs.release import release, undeliver
from dibs_schema.answers import Acknowledgement, Claimed, Idle
from dibs_schema.inputs import Agent, Category, Evidence, FeatureId, Note, Reason, RequestId, Token, Wait
from dibs_schema.refusals import Forbidden
from dibs_schema.status import Kind


@dataclass(frozen=True, slots=True)
class Wish:
    """Which feature is claimed."""

    feature_id: int | None
    category: str | None
    resume: bool


class ClaimJob(WriteJob[Claimed | Idle]):
    """One attempt to claim the next feature, or one by its id."""

    def __init__(
        self, connection: Connection, holder: Holder, token: str, wish: Wish, request: Request | None
    ) -> None:
        self.upkeep = connection.reaper()
        self._tokens = connection.tokens
        self._holder = holder
        self._token = token
        self._wish = wish
        self._request = request

    def run(self, tx: Transaction) -> Claimed | Idle:
        """Claim, or answer as before where the request is repeated."""
        holder, wish = self._holder, self._wish
        fresh = partial(claim.claim, tx, holder, wish.feature_id, category=wish.category, resume=wish.resume)
        return once(tx, self._request, Claimed, fresh, replay=partial(claim.hold_again, tx, holder))

    def autocommit(self) -> Callable[[Transaction], Claimed | None] | None:
        """Return the claim as one statement; a claim by id, by request or to resume needs several."""
        if self._request or self._wish.feature_id is not None or self._wish.resume:
            return None
        return partial(claim_alone, holder=self._holder, category=self._wish.category)

    def committed(self, result: Claimed | Idle) -> None:
        """Remember the token for the calls that follow."""
        if isinstance(result, Claimed):
            self._tokens.remember(result.feature.id, result.claim.token, self._holder.name)

    def undo(self, result: Claimed | Idle) -> Callable[[Transaction], None] | None:
        """Return the verb that gives the claim back; a repeated request's claim was made by another call."""
        if not isinstance(result, Claimed) or result.claim.token != self._token:
            return None

        def give_back(tx: Transaction) -> None:
            self._tokens.undo(self._token)
            undeliver(tx, self._holder.name, self._token)
            forget(tx, self._request)

        return give_back

    def settle(self) -> Callable[[Transaction], object] | None:
        """Return the verb that gives the claim back, unless the same call finds out whether there is one."""
        if self._request or self._wish.resume:
            return None
        return partial(undeliver, by=self._holder.name, token=self._token)


class MarkJob(WriteJob[Acknowledgement]):
    """A claim of a feature whose text the caller knows."""

    def __init__(self, connection: Connection, holder: Holder, token: str, feature_id: int) -> None:
        self.upkeep = connection.reaper()
        self._tokens = connection.tokens
        self._holder = holder
        self._token = token
        self._feature_id = feature_id

    def run(self, tx: Transaction) -> Acknowledgement:
        """Claim the feature."""
        return claim.mark_in_progress(tx, self._holder, self._feature_id)

    def committed(self, result: Acknowledgement) -> None:  # noqa: ARG002 - the token is the holder's
        """Remember the token for the calls that follow."""
        self._tokens.remember(self._feature_id, self._token, self._holder.name)

    def undo(self, result: Acknowledgement) -> Callable[[Transaction], object]:  # noqa: ARG002 - it is a claim
        """Return the verb that gives the claim back."""
        self._tokens.undo(self._token)
        return self.settle()

    def settle(self) -> Callable[[Transaction], object]:
        """Return the verb that gives the claim back."""
        return partial(undeliver, by=self._holder.name, token=self._token)


async def feature_claim_and_get(
    ctx: Ctx,
    feature_id: FeatureId | None = None,
    category: Category | None = None,
    wait_seconds: Annotated[Wait, Field(description="wait for work, 45 at most")] = 0,
    agent: Annotated[Agent | None, Field(description="your name")] = None,
    resume: Annotated[bool, Field(description="take back what your name holds")] = False,
    request_id: RequestId | None = None,
) -> Claimed | Idle:
    """Claim the next ready feature (or feature_id) for you alone, with all you need to build it.

    Call it first and after each outcome. If nothing is free, state says why.
    """
    here = connection_of(ctx)
    holder, token = here.claimant(agent)
    wish = Wish(feature_id, category, resume)
    request = Request.of(
        request_id, "feature_claim_and_get", asdict(wish), here.claim_scope(agent, request_id)
    )

    async def attempt(patience: float) -> Claimed | Idle:
        job = ClaimJob(here, holder, token, wish, request)
        answer = await here.database.write(job, patience=patience)
        if (undo := job.undo(answer)) is not None and await here.is_gone():
            await here.database.write(undo)
        return answer

    return await claim_waiting(here, attempt, category, wait_seconds, ctx)


async def feature_mark_in_progress(
    ctx: Ctx, feature_id: FeatureId, agent: Agent | None = None
) -> Acknowledgement:
    """Claim a feature whose text you know; brief answer with the token."""
    here = connection_of(ctx)
    holder, token = here.claimant(agent)
    return await here.database.write(MarkJob(here, holder, token, feature_id))


async def feature_heartbeat(
    ctx: Ctx, feature_id: FeatureId, claim_token: Token | None = None, note: Note | None = None
) -> Acknowledgement:
    """Show that you are at work; needed if renewed=false or hourly."""
    return await connection_of(ctx).move(
        feature_id,
        claim_token,
        Kind.HEARTBEAT,
        lambda tx, _by, token: lease.heartbeat(tx, feature_id, token, note),
        exclusive=note is not None,  # a note is told as kept, so it must not be written beside a copy
    )


async def feature_clear_in_progress(
    ctx: Ctx,
    feature_id: FeatureId,
    claim_token: Token | None = None,
    force: Annotated[bool, Field(description="planner only: free another's claim")] = False,
) -> Acknowledgement:
    """Give a claim back without an outcome."""
    here = connection_of(ctx)
    if force:
        if not here.settings.role.plans:
            raise Forbidden(
                "force is a planner's. Give back your own claim without it.", tool="feature_clear_in_progress"
            )
        by = here.holder(None).name
        freed = await here.database.write(lambda tx: release(tx, by, feature_id, None, force=True))
        here.tokens.end_on(feature_id, Kind.RELEASE)
        return freed
    return await here.move(
        feature_id,
        claim_token,
        Kind.RELEASE,
        lambda tx, by, token: release(tx, by, feature_id, token),
    )


async def feature_mark_passing(
    ctx: Ctx, feature_id: FeatureId, claim_token: Token | None = None, evidence: Evidence | None = None
) -> Acknowledgement:
    """Finish a claimed feature that is built and tested. On a passing one: confirm it."""
    return await connection_of(ctx).move(
        feature_id,
        claim_token,
        Kind.PASS,
        lambda tx, by, token: outcome.mark_passing(tx, by, feature_id, token, evidence),
    )


async def feature_mark_failing(
    ctx: Ctx, feature_id: FeatureId, reason: Reason, claim_token: Token | None = None
) -> Acknowledgement:
    """End a failed attempt, or report that a passing feature broke."""
    return await connection_of(ctx).move(
        feature_id,
        claim_token,
        Kind.FAIL,
        lambda tx, by, token: outcome.mark_failing(tx, by, feature_id, reason, token),
    )


async def feature_skip(
    ctx: Ctx, feature_id: FeatureId, reason: Reason, claim_token: Token | None = None
) -> Acknowledgement:
    """Put a feature that cannot be built now last. Not for failures."""
    return await connection_of(ctx).move(
        feature_id, claim_token, Kind.SKIP, lambda tx, by, token: skip.skip(tx, by, feature_id, reason, token)
    )


async def feature_add_note(ctx: Ctx, feature_id: FeatureId, text: Note) -> Acknowledgement:
    """Tell the next worker on a feature what you learned."""
    here = connection_of(ctx)
    here.tokens.touch(feature_id)
    by = here.author(feature_id)
    return await here.database.write(lambda tx: add_note(tx, by, feature_id, text))
