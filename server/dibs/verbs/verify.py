"""Test passing features again, and confirm a pass by another agent if the project requires it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import String, and_, bindparam, func, or_, select, true, update

from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.queries.handover import work_of
from dibs.rules.conditions import F, in_project, is_, this
from dibs.rules.dependencies import end_recheck
from dibs.rules.events import record
from dibs.rules.pass_requirements import evidence_line, requires_confirmation
from dibs.rules.truncate import json_bytes, truncate
from dibs.rules.usage import used
from dibs_schema.answers import Acknowledgement, Testing
from dibs_schema.evidence import EvidenceFields
from dibs_schema.next_step import Step
from dibs_schema.roles import Role
from dibs_schema.status import Kind, Status
from dibs_schema.tables import features

NEEDS_CONFIRMATION = "Another agent must confirm it."
TEST_IT = Step("feature_get_for_regression", purpose="to confirm it", by=Role.TESTER)
READ_REST = Step("feature_get_by_id", purpose="with its id and next_cursor as cursor, for the rest of a cut text")
CANNOT_CONFIRM_OWN = "The agent that passed a feature cannot confirm it: another agent must."
TESTED_AGAIN = "It was passing before: recorded as another test."

confirmation = (
    update(features)
    .where(this(), is_(Status.PASSING), F.unconfirmed_since.is_not(None))
    .values({F.confirmed_by: bindparam("by", type_=String), F.unconfirmed_since: None, F.updated_at: bindparam("now")})
)
_fleet = bindparam("fleet", type_=String)
_passed_by_another = and_(
    F.passed_by.is_distinct_from(bindparam("by", type_=String)),
    func.coalesce(func.substr(F.passed_by, 1, func.length(_fleet)) != _fleet, true()),
)
_confirm_as_another = confirmation.where(_passed_by_another)

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
    .returning(F.unconfirmed_since, F.recheck_since)
)

_stored_evidence = select(F.evidence).where(this())

RESERVATION = 1800
"""Seconds for which no other tester receives the same feature."""

ANSWER_BYTES, INSTRUCTIONS_ROOM = 9_000, 4_000
"""Bytes of one answer, and of the project's instructions in it."""

_free = or_(F.testing_until.is_(None), F.testing_until <= bindparam("now"))
_least_recent = (
    select(F.id)
    .where(in_project(), is_(Status.PASSING), _free)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_by_test = _least_recent.order_by(F.last_tested_at.asc().nulls_first(), F.id)
_to_recheck = _least_recent.where(F.recheck_since.is_not(None)).order_by(F.recheck_since, F.id)
_to_confirm = _least_recent.where(F.unconfirmed_since.is_not(None), _passed_by_another).order_by(
    F.unconfirmed_since, F.id
)
_reserve = (
    update(features)
    .where(in_project(), is_(Status.PASSING), _free, F.id.in_(bindparam("ids", expanding=True)))
    .values(testing_until=bindparam("now") + RESERVATION)
    .returning(*features.c)
)


def take_for_regression(tx: Transaction, most: int, by: str | None = None, fleet: str | None = None) -> Testing:
    """Reserve up to `most` passing features for half an hour, the least recently tested first.

    Those that await a recheck come before all others, then those whose pass `by` may confirm; the oldest come first.
    Names that begin with `fleet` are those of `by`.
    """
    ids = [row["id"] for row in tx.all(_to_recheck, most=most)]
    if len(ids) < most and requires_confirmation(tx):
        waiting = tx.all(_to_confirm, most=most, by=by, fleet=fleet)
        ids += [row["id"] for row in waiting if row["id"] not in ids][: most - len(ids)]
    if len(ids) < most:
        ids += [row["id"] for row in tx.all(_by_test, most=most) if row["id"] not in ids][: most - len(ids)]
    if not ids:
        return Testing(message="There is nothing to test: no feature is passing, or other testers have all of them.")
    rows = sorted(tx.all(_reserve, ids=ids), key=lambda row: ids.index(row["id"]))
    instructions = truncate(tx.project.settings.instructions, INSTRUCTIONS_ROOM)
    # bytes; the text and the hand-over share most of them
    each = (ANSWER_BYTES - (json_bytes(instructions) if instructions else 0)) // len(rows)
    found = [work_of(tx, row, text=each // 3, room=each // 4, name=each // 6, instructed=True) for row in rows]
    return Testing(
        instructions=instructions,
        features=found,
        testing_until=tx.now + RESERVATION,
        next=(READ_REST,) if any(one.next_cursor for one in found) else (),
    )


def verify(
    tx: Transaction, by: str, feature: int, evidence: EvidenceFields | None, fleet: str | None = None
) -> Acknowledgement | None:
    """Record that a passing feature was tested again. That ends a recheck, and confirms the pass unless `by` made it.

    Names that begin with `fleet` are those of `by`, which an access token for many agents may change with every call.
    Returns None if the feature is not passing.
    """
    proof = None if evidence is None else evidence.model_dump(exclude_defaults=True, exclude={"usage"}) or None
    if proof is not None:  # the usage and the verification are those of the pass, which its correction compares with
        before = tx.value(_stored_evidence, feature=feature) or {}
        proof |= {name: before[name] for name in ("usage", "verification") if name in before}
    row = tx.first(_verify, feature=feature, proof=proof)
    if row is None:
        return None
    detail: dict[str, Any] = {"evidence": evidence_line(evidence), "usage": used(evidence)}
    if row["recheck_since"] is not None and end_recheck(tx, feature):
        detail["rechecked"] = True
    waits = requires_confirmation(tx) and row["unconfirmed_since"] is not None
    if waits and tx.run(_confirm_as_another, feature=feature, by=by, fleet=fleet):
        detail["confirmed"] = True
        tx.wakes = True  # the project may be complete now
        waits = False
    record(tx, by, Kind.VERIFY, feature, Status.PASSING, Status.PASSING, **detail)
    return Acknowledgement(
        id=feature,
        status=Status.PASSING.value,
        evidence=proof is not None,
        hint=CANNOT_CONFIRM_OWN if waits else TESTED_AGAIN,
    )
