"""What attempts have used is recorded with their outcome, and summed."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, update

from dibs.database import Database
from dibs.queries.get import get_by_id
from dibs.verbs import outcome, verify
from dibs_schema.evidence import EvidenceFields
from dibs_schema.operations import Operations, read_arguments
from dibs_schema.refusals import InvalidInput
from dibs_schema.tables import features
from verbs.stage import add, is_sound, journal, named, rule, take

_verified = update(features).values(evidence=bindparam("proof", type_=features.c.evidence.type))


def used(**usage: float) -> EvidenceFields:
    """Return evidence that has only a usage."""
    return EvidenceFields.model_validate({"usage": usage})


def test_the_usage_of_all_attempts_is_summed(database: Database) -> None:
    """A failure, a pass, its correction and a test add to one sum; what nobody named is not in it."""
    rule(database, back_off=0)
    (feature,) = add(database)
    ada = named("ada")
    assert database.read_now(lambda tx: get_by_id(tx, feature)).usage is None
    token = take(database, ada, feature).claim.token
    database.write_now(lambda tx: outcome.mark_failing(tx, "ada", feature, "no", token, used(seconds=10, cost_usd=0.1)))
    token = take(database, ada, feature).claim.token
    passed = used(seconds=20, input_tokens=300)
    answer = database.write_now(lambda tx: outcome.mark_passing(tx, "ada", feature, token, passed))
    assert not answer.evidence, "a usage shows nothing about the feature"
    corrected = EvidenceFields.model_validate({"summary": "works", "usage": {"seconds": 15, "input_tokens": 300}})
    for _ in range(2):  # a repeated correction adds nothing
        database.write_now(lambda tx: outcome.mark_passing(tx, "ada", feature, token, corrected))
    database.write_now(lambda tx: verify.verify(tx, "bob", feature, used(seconds=1, output_tokens=5)))
    found = database.read_now(lambda tx: get_by_id(tx, feature))
    assert found.usage == {"seconds": 26, "cost_usd": 0.1, "input_tokens": 300, "output_tokens": 5}
    assert found.evidence == {"summary": "works", "usage": {"seconds": 15.0, "input_tokens": 300}}
    assert [one["detail"]["usage"] for one in journal(database, feature) if "usage" in (one["detail"] or {})] == [
        {"seconds": 10.0, "cost_usd": 0.1},
        {"seconds": 20.0, "input_tokens": 300},
        {"seconds": -5.0},
        {"seconds": 1.0, "output_tokens": 5},
    ]
    assert is_sound(database)


def test_evidence_of_a_test_keeps_what_is_the_passes(database: Database) -> None:
    """A tester's evidence replaces neither the usage, which a correction compares with, nor the verification."""
    (feature,) = add(database)
    token = take(database, named("ada"), feature).claim.token
    passed = EvidenceFields.model_validate({"summary": "works", "usage": {"seconds": 20}})
    database.write_now(lambda tx: outcome.mark_passing(tx, "ada", feature, token, passed))
    proof = {"command": "make test", "exit_code": 0, "seconds": 1.0}
    stored = passed.model_dump(exclude_defaults=True) | {"verification": proof}
    database.write_now(lambda tx: tx.run(_verified, proof=stored))
    tested = EvidenceFields.model_validate({"summary": "tested again", "usage": {"seconds": 3}})
    database.write_now(lambda tx: verify.verify(tx, "bob", feature, tested))
    found = database.read_now(lambda tx: get_by_id(tx, feature))
    assert found.evidence == {"summary": "tested again", "usage": {"seconds": 20}}
    assert found.verification is not None
    database.write_now(lambda tx: outcome.mark_passing(tx, "ada", feature, token, passed))
    assert database.read_now(lambda tx: get_by_id(tx, feature)).usage == {"seconds": 23}


@pytest.mark.parametrize(
    "usage", [{"seconds": -1}, {"cost_usd": "free"}, {"input_tokens": 1.5}, {"output_tokens": True}, {"cost_usd": 1e10}]
)
def test_a_usage_has_numbers_that_are_not_negative(usage: dict[str, object]) -> None:
    """The refusal names the member."""
    (name,) = usage
    for operation, more in ((Operations.mark_passing, {}), (Operations.mark_failing, {"reason": "no"})):
        with pytest.raises(InvalidInput, match=f"usage.{name}"):
            read_arguments(operation, {"feature_id": 1, "evidence": {"usage": usage}, **more})
