"""The tools of a worker: claim a feature, keep it, and end the claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from dibs.database.transaction import Transaction
from dibs.tools.calls import Ctx, connection_of
from dibs.tools.waiting import claim_waiting
from dibs.verbs import claim, leases, outcome, skip
from dibs.verbs.claim_alone import claim_alone
from dibs.verbs.note import add_note
from dibs.verbs.once import Request, forget, once
from dibs.verbs.release import release, undeliver
from dibs_schema.answers import Acknowledgement, Claimed, Idle
from dibs_schema.inputs import Agent, Category, Evidence, FeatureId, Note, Reason, RequestId, Token, Wait
from dibs_schema.refusals import Forbidden
from dibs_schema.status import Kind


async def feature_claim_and_get(
    ctx: Ctx,
    feature_id: FeatureId | None = None,
    category: Category | None = None,
    wait_seconds: Annotated[Wait, Field(description="wait for work")] = 0,
    agent: Annotated[Agent | None, Field(description="your name")] = None,
    resume: Annotated[bool, Field(description="take back what your name holds")] = False,
    request_id: RequestId | None = None,
) -> Claimed | Idle:
    """Claim the next ready feature (or feature_id) for you alone, with all you need to build it.

    Call it first and after each outcome. If nothing is free, state says why.
    """
    here = connection_of(ctx)
    holder = here.holder(agent)
    asked = {"feature_id": feature_id, "category": category, "resume": resume}
    request = Request.of(request_id, "feature_claim_and_get", asked, here.claim_scope(agent))
    made: list[str] = []  # the token, if this very call claims; what it replays is not its to take back

    def take(tx: Transaction) -> Claimed | Idle:
        def fresh() -> Claimed | Idle:
            answer = claim.claim(tx, holder, feature_id, category=category, resume=resume)
            made[:] = _token(answer)
            return answer

        return once(tx, request, Claimed, fresh, replay=lambda kept: claim.hold_again(tx, holder, kept))

    def issue(answer: Claimed | Idle) -> None:
        if isinstance(answer, Claimed):
            here.tokens.remember(answer.feature.id, answer.claim.token, holder.name)

    def take_back(answer: Claimed | Idle) -> Callable[[Transaction], None]:
        def undo(tx: Transaction) -> None:
            if isinstance(answer, Claimed) and made:
                here.tokens.undo(answer.claim.token)
                undeliver(tx, holder.name, answer.feature.id, answer.claim.token)
                forget(tx, request)

        return undo

    def take_alone(tx: Transaction) -> Claimed | Idle | None:
        answer = claim_alone(tx, holder, category)
        made[:] = _token(answer)
        return answer

    of_the_next = None if request or feature_id is not None or resume else take_alone

    async def attempt(patience: float) -> Claimed | Idle:
        return await here.database.write(
            take, patience=patience, first=here.reaper(), alone=of_the_next, committed=issue, undo=take_back
        )

    return await claim_waiting(here, attempt, category, wait_seconds, ctx)


def _token(answer: Claimed | Idle | None) -> list[str]:
    return [answer.claim.token] if isinstance(answer, Claimed) else []


async def feature_mark_in_progress(
    ctx: Ctx, feature_id: FeatureId, agent: Agent | None = None
) -> Acknowledgement:
    """Claim a feature whose text you know; brief answer with the token."""
    here = connection_of(ctx)
    holder = here.holder(agent)

    def take_back(answer: Acknowledgement) -> Callable[[Transaction], None]:
        here.tokens.undo(str(answer.token))
        return lambda tx: undeliver(tx, holder.name, feature_id, str(answer.token))

    return await here.database.write(
        lambda tx: claim.mark_in_progress(tx, holder, feature_id),
        first=here.reaper(),
        committed=lambda answer: here.tokens.remember(feature_id, str(answer.token), holder.name),
        undo=take_back,
    )


async def feature_heartbeat(
    ctx: Ctx, feature_id: FeatureId, claim_token: Token | None = None, note: Note | None = None
) -> Acknowledgement:
    """Show that you are at work; needed only after an hour or more."""
    return await connection_of(ctx).move(
        feature_id,
        claim_token,
        Kind.HEARTBEAT,
        lambda tx, _by, token: leases.heartbeat(tx, feature_id, token, note),
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
        if here.settings.role in ("coder", "tester", "viewer"):
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
    return await here.database.write(lambda tx: add_note(tx, by, feature_id, text), door=False)
