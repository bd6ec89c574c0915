"""Correct the evidence of a pass, by the claim that passed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select, update

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, is_, this
from dibs.rules.events import record
from dibs.rules.pass_requirements import evidence_line, require_evidence_of
from dibs.rules.usage import added_usage
from dibs.rules.verification import with_verification
from dibs_schema.evidence import EvidenceFields
from dibs_schema.status import Kind, Status
from dibs_schema.tables import features

_evidence = bindparam("proof", type_=F.evidence.type)

_stored_evidence = select(F.evidence).where(this())
_correct_evidence = (
    update(features)
    .where(this(), is_(Status.PASSING), F.ended_token == bindparam("token"))
    .values({F.evidence: _evidence, F.updated_at: bindparam("now")})
)


def correct_evidence(
    tx: Transaction,
    by: str,
    feature: int,
    token: str,
    evidence: EvidenceFields | None,
    earlier: dict[str, Any],
) -> dict[str, Any]:
    """Return the detail of the `earlier` pass with this claim. If other evidence is given, it replaces the evidence."""
    if evidence is None:
        return earlier
    before = tx.value(_stored_evidence, feature=feature) or {}
    proof = with_verification(evidence.model_dump(exclude_defaults=True), before.get("verification"))
    if proof == before:
        return earlier
    settings = tx.project.settings
    if settings.require_evidence != "off":
        require_evidence_of(settings.require_evidence, feature, evidence, runs_command="verification" in before)
    tx.run(_correct_evidence, feature=feature, token=token, proof=proof)
    detail = {"fields": ["evidence"], "evidence": evidence_line(evidence), "usage": added_usage(before, proof or {})}
    record(tx, by, Kind.UPDATE, feature, Status.PASSING, Status.PASSING, **detail)
    return {**earlier, "evidence": detail["evidence"]}
