"""The tools of a worker: claim a feature, keep it, and end the claim."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

from pydantic import Field

from dibs.database.transaction import Transaction
from dibs.mcp.context import Ctx, connection_of
from dibs.mcp.progress import claim_waiting
from dibs.rules.idempotency import Request, forget, once
from dibs.verbs import claim, lease, outcome, skip
from dibs.verbs.claim_in_one_statement import claim_alone
from dibs.verbs.note import add_note
from dibs.verbs.release import release, undeliver
from dibs_schema.answers import Acknowledgement, Claimed, Idle
from dibs_schema.inputs import Agent, Category, Evidence, FeatureId, Note, Reason, RequestId, Token, Wait
from dibs_schema.refusals import Forbidden
from dibs_schema.status import Kind


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
    asked = {"feature_id": feature_id, "category": category, "resume": resume}
    request = Request.of(request_id, "feature_claim_and_get", asked, here.claim_scope(agent, request_id))

    def take(tx: Transaction) -> Claimed | Idle:
        def fresh() -> Claimed | Idle:
            return claim.claim(tx, holder, feature_id, category=category, resume=resume)

        return once(tx, request, Claimed, fresh, replay=lambda kept: claim.hold_again(tx, holder, kept))

    def issue(answer: Claimed | Idle) -> None:
        if isinstance(answer, Claimed):
            here.tokens.remember(answer.feature.id, answer.claim.token, holder.name)

    def take_back(answer: Claimed | Idle) -> Callable[[Transaction], None]:
        def undo(tx: Transaction) -> None:
            # What was replayed was made by another call, and is not this one's to take back.
            if isinstance(answer, Claimed) and answer.claim.token == token:
                here.tokens.undo(token)
                give_back(tx)
                forget(tx, request)

        return undo

    give_back = partial(undeliver, by=holder.name, token=token)
    of_the_next = request is None and feature_id is None and not resume

    async def attempt(patience: float) -> Claimed | Idle:
        answer = await here.database.write(
            take,
            patience=patience,
            first=here.reaper(),
            alone=partial(claim_alone, holder=holder, category=category) if of_the_next else None,
            committed=issue,
            undo=take_back,
            in_doubt=None if request or resume else give_back,  # else the same call again finds out
        )
        if isinstance(answer, Claimed) and await here.is_gone():
            await here.database.write(take_back(answer))
        return answer

    return await claim_waiting(here, attempt, category, wait_seconds, ctx)


async def feature_mark_in_progress(
    ctx: Ctx, feature_id: FeatureId, agent: Agent | None = None
) -> Acknowledgement:
    """Claim a feature whose text you know; brief answer with the token."""
    here = connection_of(ctx)
    holder, token = here.claimant(agent)

    def take_back(_: Acknowledgement) -> Callable[[Transaction], None]:
        here.tokens.undo(token)
        return give_back

    give_back = partial(undeliver, by=holder.name, token=token)

    return await here.database.write(
        lambda tx: claim.mark_in_progress(tx, holder, feature_id),
        first=here.reaper(),
        committed=lambda _: here.tokens.remember(feature_id, token, holder.name),
        undo=take_back,
        in_doubt=give_back,
    )


async def feature_heartbeat(
    ctx: Ctx, feature_id: FeatureId, claim_token: Token | None = None, note: Note | None = None
) -> Acknowledgement:
    """Show that you are at work; needed if renewed=false or hourly."""
    return await connection_of(ctx).move(
        feature_id,
        claim_token,
        Kind.HEARTBEAT,
        lambda tx, _by, token: lease.heartbeat(tx, feature_id, token, note),
        door=note is not None,  # a note is told as kept, so it must not be written beside a copy
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
