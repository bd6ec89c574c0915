"""The operations of an agent at work: claim a feature, renew the claim, and end it."""

from __future__ import annotations

from dibs.database.transaction import Transaction
from dibs.rules.diagnosis import holder_of
from dibs.rules.verification import Verified
from dibs.session.caller import CallContext
from dibs.session.claim_job import ClaimJob, MarkJob, ReportJob
from dibs.session.session import Session
from dibs.session.verification import pass_verified
from dibs.session.waiting import Waiting
from dibs.verbs import lease, outcome
from dibs.verbs.release import release as release_verb
from dibs.verbs.skip import skip as skip_verb
from dibs.verbs.update import add_note as add_note_verb
from dibs_schema.answers import Acknowledgement, Claimed, Idle
from dibs_schema.evidence import Evidence, EvidenceFields
from dibs_schema.operations import claims as arguments
from dibs_schema.refusals import Forbidden, InvalidInput
from dibs_schema.roles import Role
from dibs_schema.status import Kind


async def take(session: Session, args: arguments.ClaimFeature, context: CallContext) -> Claimed | Idle:
    """Claim the next ready feature or one by id, and wait for work if requested.

    An agent that repeats or resumes a claim receives only what is new, if it has received the rest lately. With an
    idempotency key it receives all of it: the first answer may be lost.
    """
    answer = await _take(session, args, context)
    if isinstance(answer, Idle) or not context.remembers:
        return answer
    repeated = (answer.already_claimed or args.resume) and args.request_id is None
    return session.repeated_claims.answer(session.caller.holder(args.agent).name, answer, repeated=repeated)


async def _take(session: Session, args: arguments.ClaimFeature, context: CallContext) -> Claimed | Idle:
    if args.force and not args.resume:
        raise InvalidInput("force: it takes over a claim, and so goes with resume=true.", field="force")
    if session.adopted is not None:
        return await session.adopted.take(session, args)
    wait_seconds = args.wait_seconds if context.wait_seconds is None else context.wait_seconds
    if wait_seconds and args.feature_id is not None:
        raise InvalidInput(
            "wait_seconds: it waits until any feature is ready, and so goes without feature_id.", field="wait_seconds"
        )
    job = ClaimJob(session, args)
    context.claiming(job)

    async def attempt(patience: float) -> Claimed | Idle:
        answer = await session.database.write(job.prepare(), patience=patience)
        if (undo := job.undo(answer)) is not None and await context.is_abandoned():
            await session.database.write(undo)
        return answer

    waiting = Waiting(
        session.database,
        args.category,
        wait_seconds,
        session.settings.patience,
        context.longest_wait,
        session.closing,
        context.report_waiting,
        context.is_abandoned,
    )
    return await waiting.claim(attempt)


async def mark_in_progress(session: Session, args: arguments.MarkInProgress, context: CallContext) -> Acknowledgement:
    """Claim a feature by id; the answer leaves out its text."""
    if session.adopted is not None:
        return await session.adopted.mark_in_progress(session, args)
    job = MarkJob(session, args.feature_id, args.agent)
    context.claiming(job)
    return await session.database.write(job.prepare())


async def heartbeat(session: Session, args: arguments.SendHeartbeat, _: CallContext) -> Acknowledgement:
    """Renew the lease of a claim, and store a note."""
    return await session.transition(
        args.feature_id,
        args.claim_token,
        Kind.HEARTBEAT,
        lambda tx, _, token: lease.heartbeat(tx, args.feature_id, token, args.note),
        exclusive=args.note is not None,  # a note that was acknowledged must not be missing from a copy
    )


async def release(session: Session, args: arguments.ReleaseClaim, _: CallContext) -> Acknowledgement:
    """Give a claim back without an outcome; a planner may release another's."""
    seen = args.unless_claimed_since
    if not args.force:
        if seen is not None:
            raise InvalidInput("unless_claimed_since: it guards a release by force=true.", field="unless_claimed_since")
        return await session.transition(
            args.feature_id,
            args.claim_token,
            Kind.RELEASE,
            lambda tx, by, token: release_verb(tx, by, args.feature_id, token),
        )
    if not session.settings.role.plans:
        raise Forbidden("Only a planner may end the claim of another agent.", tool="feature_clear_in_progress")
    by = session.author()
    released = await session.database.write(
        lambda tx: release_verb(tx, by, args.feature_id, None, force=True, seen=seen)
    )
    session.claims.end_all(args.feature_id, Kind.RELEASE)
    return released


async def mark_passing(session: Session, args: arguments.MarkPassing, context: CallContext) -> Acknowledgement:
    """Finish a claimed feature, or confirm one that passes."""
    feature, evidence, fleet = args.feature_id, _fields(args.evidence), session.caller.fleet

    async def attempt(verified: Verified | None) -> Acknowledgement:
        return await session.transition(
            feature,
            args.claim_token,
            Kind.PASS,
            lambda tx, by, token: outcome.mark_passing(tx, by, feature, token, evidence, verified, fleet=fleet),
        )

    return await pass_verified(session, context, feature, args.claim_token, evidence, attempt)


def _fields(evidence: Evidence | None) -> EvidenceFields | None:
    assert evidence is None or isinstance(evidence, EvidenceFields), "the type converts all else"
    return evidence


async def mark_failing(session: Session, args: arguments.MarkFailing, context: CallContext) -> Acknowledgement:
    """End a failed attempt, or report a regression, and claim what was reported if a tester keeps it."""
    if args.keep:
        return await _report_and_claim(session, args, context)
    return await session.transition(
        args.feature_id,
        args.claim_token,
        Kind.FAIL,
        lambda tx, by, token: outcome.mark_failing(tx, by, args.feature_id, args.reason, token, _fields(args.evidence)),
    )


async def _report_and_claim(session: Session, args: arguments.MarkFailing, context: CallContext) -> Acknowledgement:
    if not session.settings.role.has((Role.TESTER,)):
        raise Forbidden("Only a tester reports and claims in one call.", tool="feature_mark_failing")
    if session.adopted is not None:
        raise Forbidden("This server was started for one claim, and makes no other.", tool="feature_mark_failing")
    if args.claim_token is not None:
        raise InvalidInput("keep: it claims a passing feature, and so goes without claim_token.", field="keep")
    job = ReportJob(session, args.feature_id, args.reason)
    context.claiming(job)
    return await session.database.write(job.prepare())


async def skip(session: Session, args: arguments.SkipFeature, _: CallContext) -> Acknowledgement:
    """Move a feature to the end of the queue."""
    return await session.transition(
        args.feature_id,
        args.claim_token,
        Kind.SKIP,
        lambda tx, by, token: skip_verb(tx, by, args.feature_id, args.reason, token),
    )


async def add_note(session: Session, args: arguments.AddNote, _: CallContext) -> Acknowledgement:
    """Store a note on a feature. If the caller proves that it holds the claim, the lease is renewed."""
    session.claims.touch(args.feature_id)
    by = session.author(args.feature_id)
    proven = session.claims.proof(args.feature_id)

    def write(tx: Transaction) -> Acknowledgement:
        token = proven(tx)
        news = lease.touch(tx, args.feature_id, token) if token is not None else {}
        author = holder_of(tx, args.feature_id, token) or by
        return add_note_verb(tx, author, args.feature_id, args.text).model_copy(update=news)

    return await session.database.write(write)
