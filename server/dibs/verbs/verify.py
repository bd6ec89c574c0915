"""A feature that passes is tested once more, and, where the project asks for it, confirmed by another agent."""

from __future__ import annotations

from typing import Any

from sqlalchemy import String, bindparam, func, select, update

from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, in_project, is_, this
from dibs.rules.journal import record
from dibs.verbs.evidence import gist
from dibs_schema.answers import Acknowledgement
from dibs_schema.inputs import EvidenceFields
from dibs_schema.next_step import Step
from dibs_schema.refusals import InvalidInput
from dibs_schema.roles import Role
from dibs_schema.status import Kind, Status
from dibs_schema.tables import features

NEEDS_CONFIRMATION = "Another agent must confirm it."
TEST_IT = Step("feature_get_for_regression", by=Role.TESTER)
NOT_BY_ITSELF = "The agent that passed a feature cannot confirm it: another agent must."

_confirm = (
    update(features)
    .where(this(), is_(Status.PASSING), F.unconfirmed_since.is_not(None))
    .values(
        {
            F.confirmed_by: bindparam("by", type_=String),
            F.unconfirmed_since: None,
            F.updated_at: bindparam("now"),
        }
    )
)
_confirm_as_another = _confirm.where(F.passed_by.is_distinct_from(bindparam("by", type_=String)))

_verify = hot(
    update(features)
    .where(this(), is_(Status.PASSING))
    .values(
        {
            F.last_tested_at: bindparam("now"),
            F.testing_until: None,
            F.evidence: func.coalesce(bindparam("proof", type_=F.evidence.type), F.evidence),
            F.updated_at: bindparam("now"),
        }
    )
    .returning(F.unconfirmed_since)
)

_unconfirmed = hot(
    select(func.count()).where(in_project(), F.unconfirmed_since.is_not(None), is_(Status.PASSING))
)


def asks_another(tx: Transaction) -> bool:
    """Whether a pass in this project waits to be confirmed by another agent than the one that passed."""
    return tx.project.verifier == "other"


def unconfirmed(tx: Transaction) -> int:
    """How many features pass and wait to be confirmed; none where the project does not ask for it."""
    return int(tx.value(_unconfirmed)) if asks_another(tx) else 0


def verify(tx: Transaction, by: str, feature: int, evidence: EvidenceFields | None) -> Acknowledgement | None:
    """Note that a passing feature was tested again, which confirms it unless `by` passed it.

    None where it is not passing.
    """
    proof = evidence.model_dump(exclude_defaults=True) if evidence is not None else None
    row = tx.first(_verify, feature=feature, proof=proof)
    if row is None:
        return None
    detail: dict[str, Any] = {"evidence": gist(evidence)}
    waits = asks_another(tx) and row["unconfirmed_since"] is not None
    if waits and tx.run(_confirm_as_another, feature=feature, by=by):
        detail["confirmed"] = True
        tx.wakes = True  # perhaps all is complete now
        waits = False
    record(tx, by, Kind.VERIFY, feature, Status.PASSING, Status.PASSING, **detail)
    return Acknowledgement(
        id=feature,
        status=Status.PASSING.value,
        evidence=evidence is not None,
        hint=NOT_BY_ITSELF if waits else None,
    )


def overrule(tx: Transaction, by: str, feature: int) -> None:
    """Confirm a pass in the place of another agent, which the journal says. Raises InvalidInput where none is waiting."""
    if not tx.run(_confirm, feature=feature, by=by):
        raise InvalidInput(f"Feature {feature} does not wait for confirmation.", field="confirm")
    tx.wakes = True
    record(tx, by, Kind.VERIFY, feature, Status.PASSING, Status.PASSING, confirmed=True, overruled=True)
