"""End a claim as passed or failed, or report that a passing feature is broken."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Double, Integer, bindparam, or_, select, update

from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.rules.conditions import (
    ATTEMPTS_USED_UP,
    FAILURES_USED_UP,
    FARTHEST_BACK_OFF,
    NO_PASS,
    F,
    depends_on_this,
    ending,
    held,
    in_project,
    is_,
    leased,
    literal,
    stuck_if,
    this,
    unblocked,
)
from dibs.rules.dependencies import block_dependents, unblock_dependents
from dibs.rules.diagnosis import earlier_outcome, find, holder_of, refuse_transition
from dibs.rules.events import record
from dibs.rules.pass_requirements import evidence_line, require_evidence_of, requires_confirmation
from dibs.rules.reports import refuse_report
from dibs.rules.same_failures import failures_in_a_row
from dibs.rules.usage import used
from dibs.rules.verification import (
    VerificationNeeded,
    Verified,
    order_of,
    refuse_changed,
    refuse_overtaken,
    stored,
    verification_line,
    with_verification,
)
from dibs.verbs.correct_evidence import correct_evidence
from dibs.verbs.verify import NEEDS_CONFIRMATION, TEST_IT, verify
from dibs_schema.answers import Acknowledgement
from dibs_schema.evidence import EvidenceFields
from dibs_schema.status import Kind, Status
from dibs_schema.tables import features

SHOWN = 10
"""Ids that an acknowledgement lists; its count includes all of them."""
REGRESSION = "It was passing before: recorded as a regression."


_evidence = bindparam("proof", type_=F.evidence.type)

_pass = hot(
    update(features)
    .where(this(), held(), F.unmet_dependencies == 0)
    .values(
        {
            F.status: literal(Status.PASSING),
            F.passed_by: F.claimed_by,
            F.passed_at: bindparam("now"),
            F.evidence: _evidence,
            F.attempts: 0,
            F.failures: 0,
            F.skips: 0,
            F.not_before: None,
            F.last_failure: None,
            F.testing_until: None,
            F.unconfirmed_since: bindparam("unconfirmed", type_=Double),
            F.confirmed_by: None,
            **ending(Kind.PASS),
        }
    )
    .returning(F.passed_by, F.paths)
)

_pass_verified = _pass.where(F.updated_at == bindparam("seen", type_=Double))

_unblocked = hot(select(F.id).where(depends_on_this(), unblocked()).order_by(F.id))

_SAME_FAILURES_USED_UP = bindparam("in_a_row", type_=Integer) >= bindparam("max_same_failures", type_=Integer)
_failed_attempt: dict[Any, Any] = {
    F.status: stuck_if(or_(FAILURES_USED_UP, _SAME_FAILURES_USED_UP, ATTEMPTS_USED_UP)),
    F.failures: F.failures + 1,
    F.last_failure: bindparam("why"),
    F.not_before: bindparam("now") + bindparam("pause", type_=Double),
}

_fail = hot(
    update(features)
    .where(this(), held())
    .values({**_failed_attempt, **ending(Kind.FAIL)})
    .returning(F.status, F.failures, F.not_before)
)

_regress = (
    update(features)
    .where(this(), is_(Status.PASSING))
    .values({F.status: literal(Status.PENDING), F.last_tested_at: bindparam("now"), **NO_PASS})
)

_any_claim = hot(select(F.id).where(in_project(), leased()).limit(1))
_failures_so_far = hot(select(F.failures).where(this()))


def mark_passing(
    tx: Transaction,
    by: str,
    feature: int,
    token: str | None = None,
    evidence: EvidenceFields | None = None,
    verified: Verified | None = None,
    *,
    fleet: str | None = None,
) -> Acknowledgement:
    """Pass a claimed feature, or verify a passing one. The same call with other evidence corrects the evidence.

    Names that begin with `fleet` are the caller's, and cannot confirm one another's passes.

    Raises ClaimLost, TokenRequired, NotClaimed, UnmetDependencies, InvalidInput if the project requires evidence
    that is missing, or the refusal of the status that the feature has now. Raises VerificationNeeded if the project's
    verify command must succeed first, and NotVerified if what it was `verified` for has changed.
    """
    if token is None:
        tested = verify(tx, by, feature, evidence, fleet)
        if tested is None:
            refuse_transition(tx, feature, None)
        return tested
    _require(tx, feature, token, evidence, verified)
    proof = evidence.model_dump(exclude_defaults=True) if evidence is not None else None
    unconfirmed = tx.now if requires_confirmation(tx) else None
    values = {"feature": feature, "token": token, "proof": proof, "unconfirmed": unconfirmed}
    if verified is not None:
        values |= {"proof": with_verification(proof, stored(verified.proof)), "seen": verified.order.updated_at}
    row = tx.first(_pass if verified is None else _pass_verified, **values)
    if row is None:
        earlier = earlier_outcome(tx, feature, token, Kind.PASS)
        if verified is not None:
            raise refuse_overtaken(feature)
        return _passed(feature, correct_evidence(tx, by, feature, token, evidence, earlier))
    unblock_dependents(tx, feature)
    unblocked_ids = [one["id"] for one in tx.all(_unblocked, feature=feature)]
    # Waiting claims must look again: a feature is ready, its files are free, or all work may be done.
    tx.wakes = bool(unblocked_ids or row["paths"]) or not tx.value(_any_claim)
    detail: dict[str, Any] = {"unblocked": unblocked_ids[:SHOWN], "unblocked_count": len(unblocked_ids)}
    detail["evidence"] = evidence_line(evidence)
    detail["usage"] = used(evidence)
    if verified is not None:
        detail["verified"] = verification_line(verified.proof)
    if unconfirmed is not None:
        detail["unconfirmed"] = True
    record(tx, row["passed_by"], Kind.PASS, feature, Status.IN_PROGRESS, Status.PASSING, **detail)
    return _passed(feature, detail, verified)


def _require(
    tx: Transaction, feature: int, token: str, evidence: EvidenceFields | None, verified: Verified | None
) -> None:
    """Raise InvalidInput, VerificationNeeded or NotVerified if a live claim's pass lacks a project requirement."""
    settings = tx.project.settings
    runs_command = settings.verify_command != ""
    if settings.require_evidence == "off" and not runs_command:
        return
    if holder_of(tx, feature, token) is None:
        return
    require_evidence_of(settings.require_evidence, feature, evidence, runs_command=runs_command)
    order = order_of(tx, feature, token)
    if order is not None and verified is None:
        raise VerificationNeeded
    if order is not None and verified is not None and order != verified.order:
        raise refuse_changed(order)


def _passed(feature: int, detail: dict[str, Any], verified: Verified | None = None) -> Acknowledgement:
    return Acknowledgement(
        id=feature,
        status=Status.PASSING.value,
        unblocked=detail.get("unblocked", []),
        unblocked_count=detail["unblocked_count"],
        evidence=bool(detail.get("evidence")),
        verification=verified.proof.model_copy(update={"command": None}) if verified is not None else None,
        hint=NEEDS_CONFIRMATION if detail.get("unconfirmed") else None,
        next=(TEST_IT,) if detail.get("unconfirmed") else (),
    )


def mark_failing(
    tx: Transaction,
    by: str,
    feature: int,
    reason: str,
    token: str | None = None,
    evidence: EvidenceFields | None = None,
) -> Acknowledgement:
    """End a claim as failed, or report that a passing feature is broken. Only the usage in the evidence is recorded.

    A `token` must be valid: a late report on a lost claim says nothing about a later pass.
    Raises ClaimLost, TokenRequired, NotClaimed, or the refusal of the status that the feature has now.
    """
    if token is None or _passed_with(tx, feature, token):
        if report(tx, by, feature, reason, used(evidence)):
            return Acknowledgement(id=feature, status=Status.PENDING.value, hint=REGRESSION)
        refuse_report(tx, feature, token)
    by = holder_of(tx, feature, token) or by
    failures = tx.value(_failures_so_far, feature=feature) or 0
    in_a_row, most = failures_in_a_row(tx, feature, reason), tx.project.settings.max_same_failures
    row = tx.first(
        _fail,
        feature=feature,
        token=token,
        why=reason if in_a_row < most else f"The same reason {in_a_row} times in a row: {reason}",
        in_a_row=in_a_row,
        max_same_failures=most,
        pause=min(FARTHEST_BACK_OFF, tx.project.settings.back_off * 2 ** min(failures, 20)),
        max_failures=tx.project.settings.max_failures,
        max_attempts=tx.project.settings.max_attempts,
    )
    if row is None:
        return _failed(feature, earlier_outcome(tx, feature, token, Kind.FAIL))
    detail = {"reason": reason, "status": row["status"], "failures": row["failures"], "ready_at": row["not_before"]}
    detail["in_a_row"] = in_a_row if in_a_row > 1 else None
    detail["usage"] = used(evidence)
    record(tx, by, Kind.FAIL, feature, Status.IN_PROGRESS, row["status"], **detail)
    return _failed(feature, detail)


def report(tx: Transaction, by: str, feature: int, reason: str, usage: dict[str, float] | None = None) -> bool:
    """Return a passing feature that is broken to pending. Returns False if it is not passing."""
    if not tx.run(_regress, feature=feature, why=reason):
        return False
    block_dependents(tx, by, feature)
    record(tx, by, Kind.REGRESS, feature, Status.PASSING, Status.PENDING, reason=reason, usage=usage)
    return True


def _passed_with(tx: Transaction, feature: int, token: str) -> bool:
    row = find(tx, feature)
    return bool(row["status"] == Status.PASSING and row["ended_token"] == token and row["ended_by"] == Kind.PASS)


def _failed(feature: int, detail: dict[str, Any]) -> Acknowledgement:
    stuck = detail["status"] == Status.STUCK
    return Acknowledgement(
        id=feature, status=detail["status"], failures=detail["failures"], ready_at=None if stuck else detail["ready_at"]
    )
