"""Report a broken feature and claim it, to mend it: both in one transaction."""

from __future__ import annotations

from dibs.database.transaction import Row, Transaction
from dibs.rules.claimant import Holder
from dibs.rules.diagnosis import refuse_shared_claim
from dibs.rules.reports import refuse_report
from dibs.verbs.claim import mark_in_progress
from dibs.verbs.outcome import report
from dibs_schema.answers import Acknowledgement
from dibs_schema.next_step import Step
from dibs_schema.refusals import Refusal


def report_and_claim(
    tx: Transaction, by: str, holder: Holder, feature: int, reason: str, own: Row | None = None
) -> Acknowledgement:
    """Report that a passing feature is broken, and claim it. A repeated call answers with the row of its `own` claim.

    Raises AlreadyClaimed if another holder has it, NotClaimed if it is not passing, and the refusals of a claim; then
    nothing is reported.
    """
    if own is None and not report(tx, by, feature, reason):
        refuse_report(tx, feature, None, keep=True)
    if own is not None and own["last_failure"] != reason:
        refuse_shared_claim(tx, own)
    try:
        return mark_in_progress(tx, holder, feature, own)
    except Refusal as refusal:
        only_report = Step("feature_mark_failing", {"feature_id": feature}, "to report it only", needs=("reason",))
        refusal.next = (only_report, *refusal.next)
        raise
