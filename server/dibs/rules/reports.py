"""Reports that a passing feature is broken: who made the last one, and what follows from it."""

from __future__ import annotations

from collections.abc import Collection
from typing import NoReturn

from sqlalchemy import select

from dibs.database.transaction import Transaction
from dibs.rules.conditions import literal_text, of_feature
from dibs.rules.diagnosis import find, refuse_claim, refuse_transition
from dibs_schema.next_step import Step
from dibs_schema.refusals import AlreadyClaimed, Forbidden, NotClaimed, TokenRequired
from dibs_schema.status import Kind, Status
from dibs_schema.tables import events

_last_report = (
    select(events.c.agent)
    .where(of_feature(events), events.c.kind == literal_text(Kind.REGRESS))
    .order_by(events.c.id.desc())
    .limit(1)
)


def refuse_unreported(tx: Transaction, feature: int | None, names: Collection[str]) -> None:
    """Raise Forbidden unless one of `names` last reported the feature as broken: testers may mend only those."""
    if feature is None or tx.value(_last_report, feature=feature) not in names:
        raise Forbidden(
            "A tester claims only a feature, by its id, that it has reported as broken.",
            next=[Step("feature_get_for_regression", purpose="for the next feature to test")],
            tool="feature_claim_and_get",
        )


def refuse_report(tx: Transaction, feature: int, token: str | None, *, keep: bool = False) -> NoReturn:
    """Raise the reason why a report was refused, or with `keep` why the reported feature could not be claimed.

    It says who has reported the feature before, who holds it now and since when, so that nobody mends it twice.
    """
    row = find(tx, feature)
    is_held = row["status"] == Status.IN_PROGRESS
    try:
        if keep and is_held:
            refuse_claim(tx, row)
        refuse_transition(tx, feature, token)
    except (AlreadyClaimed, NotClaimed, TokenRequired) as refusal:
        reporter = tx.value(_last_report, feature=feature)
        if reporter is not None:
            refusal.fact += f" {reporter} has reported it as broken."
            tell = Step("feature_add_note", {"feature_id": feature}, "to tell its holder more", needs=("text",))
            refusal.next = (*refusal.next, tell) if is_held else refusal.next
        raise
