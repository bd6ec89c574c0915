"""Bugs to plant into how claims are repeated, adopted, regained and reported, held up by questions, and freed."""

from __future__ import annotations

from typing import Any


def a_repeated_claim_is_an_attempt() -> None:
    """Count a claim that its holder repeats as a new attempt."""
    from sqlalchemy import update

    from dibs.rules.conditions import F, this
    from dibs.session import claim_job
    from dibs_schema.tables import features

    claim_again = claim_job.claim_again  # type: ignore[attr-defined]  # it is what the bug is planted into
    count = update(features).where(this()).values({F.attempts: F.attempts + 1})

    def claim_and_count(tx: Any, holder: Any, feature: int, token: str) -> Any:
        tx.run(count, feature=feature)
        return claim_again(tx, holder, feature, token)

    claim_job.claim_again = claim_and_count  # type: ignore[attr-defined]  # it is the bug


def an_adopting_server_claims_others() -> None:
    """Let a server that was started for one claim make another."""
    from dibs.session.adopted_claim import AdoptedClaim
    from dibs.session.claim_job import ClaimJob

    take = AdoptedClaim.take

    async def take_any(self: AdoptedClaim, session: Any, args: Any) -> Any:
        if args.feature_id in (None, self.feature):
            return await take(self, session, args)
        return await session.database.write(ClaimJob(session, args).prepare())

    AdoptedClaim.take = take_any  # type: ignore[method-assign]  # it is the bug


def an_old_token_regains_any_claim() -> None:
    """Let the token of a claim regain it, however the claim ended."""
    from dibs.rules import conditions
    from dibs_schema.status import Status

    conditions.disconnected = lambda: conditions.is_(Status.PENDING)


def testers_claim_what_they_never_reported() -> None:
    """Let a tester claim every feature."""
    from dibs.session import claim_job

    claim_job.refuse_unreported = lambda *_: None  # type: ignore[attr-defined]  # it is the bug


def a_kept_report_does_not_block() -> None:
    """Let the dependents of a feature that its reporter keeps stay ready."""
    from dibs.session import claim_job
    from dibs.verbs import outcome

    block, report_and_claim = outcome.block_dependents, claim_job.report_and_claim  # type: ignore[attr-defined]  # likewise

    def report_alone(*arguments: Any) -> Any:
        outcome.block_dependents = lambda *_: None  # type: ignore[attr-defined]  # likewise
        try:
            return report_and_claim(*arguments)
        finally:
            outcome.block_dependents = block  # type: ignore[attr-defined]  # likewise

    claim_job.report_and_claim = report_alone  # type: ignore[assignment,attr-defined]  # likewise


def questions_hold_nothing() -> None:
    """Let features that wait for a question be handed out."""
    from dibs.verbs import ask_user

    ask_user.hold_up = lambda *_: []  # type: ignore[attr-defined]  # it is the bug


def answers_free_nothing() -> None:
    """Let features wait for a question that has been closed."""
    from dibs.verbs import ask_user

    ask_user.free = lambda *_: []  # type: ignore[attr-defined]  # it is the bug


def a_retry_keeps_the_back_off() -> None:
    """Let a feature back off although a planner has lifted that."""
    from dibs.rules.conditions import F
    from dibs.verbs import update

    update._retry = update._retry.values({F.not_before: F.not_before})  # noqa: SLF001 - it is the bug


def nothing_is_rechecked() -> None:
    """Let features that pass need no recheck when a dependency breaks."""
    from dibs.rules import dependencies
    from dibs.rules.conditions import F

    unmarked = {F.recheck_since: F.recheck_since}
    dependencies._block = dependencies._block.values(unmarked)  # noqa: SLF001 - it is the bug


IN_CLAIMS = (
    a_repeated_claim_is_an_attempt,
    an_adopting_server_claims_others,
    an_old_token_regains_any_claim,
    testers_claim_what_they_never_reported,
    a_kept_report_does_not_block,
    questions_hold_nothing,
    answers_free_nothing,
    a_retry_keeps_the_back_off,
)
"""The bugs in this module that the history checker must find alone; the audit finds `nothing_is_rechecked`."""
