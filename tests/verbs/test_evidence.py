"""A pass needs the evidence that the project requires, and old evidence is marked after a regression."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from dibs.database import Database
from dibs.queries.get import get_by_id
from dibs.verbs import outcome
from dibs_schema.evidence import EvidenceFields
from dibs_schema.refusals import ClaimLost, InvalidInput
from dibs_schema.status import Status
from verbs.stage import NEVER_ISSUED, add, depend, finish, journal, named, place, refused, row, rule, take, token_of

GREEN = {"command": "make test", "exit_code": 0}
RED = {"command": "make test", "exit_code": 2}


def _evidence(given: dict[str, Any] | None) -> EvidenceFields | None:
    return None if given is None else EvidenceFields.model_validate(given)


TOO_LITTLE: list[tuple[str, dict[str, Any] | None, str]] = [
    ("summary", None, "evidence.summary"),
    ("summary", {"commit": "f00"}, "evidence.summary"),
    ("summary", {"commands": [GREEN]}, "evidence.summary"),
    ("command", None, "evidence.commands"),
    ("command", {"summary": "looked at it"}, "evidence.commands"),
    ("command", {"commands": [RED]}, "evidence.commands"),
]


@pytest.mark.parametrize(("rule_", "given", "field"), TOO_LITTLE)
def test_a_pass_without_what_the_project_asks_for_is_refused(
    database: Database, rule_: str, given: dict[str, Any] | None, field: str
) -> None:
    """The refusal says what is missing and which call brings it; the claim stays, and that call then passes."""
    on = place(database, Status.IN_PROGRESS)
    rule(database, require_evidence=rule_)
    attempt = partial(outcome.mark_passing, by="ada", feature=on.id, token=on.token, evidence=_evidence(given))
    refusal = refused(database, InvalidInput, attempt)
    assert refusal.details["field"] == field
    assert (refusal.next[0].operation, refusal.next[0].needs) == ("feature_mark_passing", ("evidence",))
    enough = EvidenceFields.model_validate({"summary": "seen", "commands": [RED, GREEN]})
    answer = database.write_now(lambda tx: outcome.mark_passing(tx, "ada", on.id, on.token, enough))
    assert answer.status == "passing"


ENOUGH: list[tuple[str, dict[str, Any] | None]] = [
    ("off", None),
    ("summary", {"summary": "seen"}),
    ("command", {"commands": [GREEN]}),
    ("command", {"commands": [RED, GREEN]}),
]


@pytest.mark.parametrize(("rule_", "given"), ENOUGH)
def test_a_pass_with_what_the_project_asks_for_is_made(
    database: Database, rule_: str, given: dict[str, Any] | None
) -> None:
    """The required evidence suffices, and by default none is required."""
    on = place(database, Status.IN_PROGRESS)
    rule(database, require_evidence=rule_)
    database.write_now(lambda tx: outcome.mark_passing(tx, "ada", on.id, on.token, _evidence(given)))
    assert row(database, on.id)["status"] == "passing"


def test_a_lost_claim_is_told_before_missing_evidence(database: Database) -> None:
    """A lost claim is refused before missing evidence."""
    on = place(database, Status.IN_PROGRESS)
    rule(database, require_evidence="command")
    refused(database, ClaimLost, lambda tx: outcome.mark_passing(tx, "ada", on.id, NEVER_ISSUED))


def test_a_repeated_pass_needs_no_evidence(database: Database) -> None:
    """The very pass that was made is acknowledged again, also where the rule was made meanwhile."""
    on = place(database, Status.IN_PROGRESS)
    first = database.write_now(lambda tx: outcome.mark_passing(tx, "ada", on.id, on.token))
    rule(database, require_evidence="summary")
    again = database.write_now(lambda tx: outcome.mark_passing(tx, "ada", on.id, on.token))
    assert again == first


def test_the_holder_can_correct_its_evidence(database: Database) -> None:
    """The same pass with other evidence replaces it, once; the event of the pass keeps the first."""
    on = place(database, Status.IN_PROGRESS)
    mine = partial(outcome.mark_passing, by="ada", feature=on.id, token=on.token)
    wrong, right = (EvidenceFields.model_validate({"summary": text}) for text in ("wrong file", "12 tests pass"))
    database.write_now(partial(mine, evidence=wrong))
    for _ in range(2):
        answer = database.write_now(partial(mine, evidence=right))
        assert (answer.status, answer.evidence) == ("passing", True)
    database.write_now(mine)  # without evidence nothing is corrected
    assert row(database, on.id)["evidence"] == {"summary": "12 tests pass"}
    told = [(event["kind"], (event["detail"] or {}).get("evidence")) for event in journal(database, on.id)[-2:]]
    assert told == [("pass", "wrong file"), ("update", "12 tests pass")]
    rule(database, require_evidence="command")
    refused(database, InvalidInput, partial(mine, evidence=wrong))


def test_a_late_pass_corrects_no_evidence(database: Database) -> None:
    """A token that was overtaken does not replace what another agent has shown."""
    on = place(database, Status.IN_PROGRESS)
    evidence = EvidenceFields.model_validate({"summary": "mine"})
    database.write_now(lambda tx: outcome.mark_passing(tx, "ada", on.id, on.token, evidence))
    database.write_now(lambda tx: outcome.mark_failing(tx, "eve", on.id, "it broke"))
    theirs = token_of(database, on.id, "grace")
    database.write_now(lambda tx: outcome.mark_passing(tx, "grace", on.id, theirs, evidence))
    late = EvidenceFields.model_validate({"summary": "late"})
    refused(database, ClaimLost, lambda tx: outcome.mark_passing(tx, "ada", on.id, on.token, late))
    assert row(database, on.id)["evidence"] == {"summary": "mine"}


def test_evidence_from_before_a_regression_does_not_count(database: Database) -> None:
    """After a regression the next pass needs new evidence, and the old one is shown as outdated."""
    rule(database, require_evidence="summary")
    (feature,) = add(database)
    token = token_of(database, feature)
    proof = EvidenceFields(summary="all 12 tests pass")
    database.write_now(lambda tx: outcome.mark_passing(tx, "ada", feature, token, proof))
    assert not database.read_now(lambda tx: get_by_id(tx, feature)).evidence_is_outdated
    database.write_now(lambda tx: outcome.mark_failing(tx, "tester", feature, "broke"))
    shown = database.read_now(lambda tx: get_by_id(tx, feature))
    assert (shown.evidence, shown.evidence_is_outdated) == ({"summary": "all 12 tests pass"}, True)
    rule(database, back_off=0)
    again = take(database, named("bob"), feature)
    assert again.feature.earlier_evidence == "all 12 tests pass"
    refused(database, InvalidInput, lambda tx: outcome.mark_passing(tx, "bob", feature, again.claim.token))


def test_a_claim_shows_evidence_of_what_it_builds_on_only_while_that_passes(database: Database) -> None:
    """The evidence of a broken dependency is not shown to the holder of its dependent."""
    needed, waiting = add(database, 2)
    depend(database, waiting, needed)
    token = token_of(database, needed)
    proof = EvidenceFields(summary="green")
    database.write_now(lambda tx: outcome.mark_passing(tx, "ada", needed, token, proof))
    bob = named("bob")
    (seen,) = take(database, bob, waiting).feature.dependencies
    assert (seen.status, seen.evidence) == ("passing", "green")
    database.write_now(lambda tx: outcome.mark_failing(tx, "tester", needed, "broke"))
    (seen,) = take(database, bob, waiting, resume=True).feature.dependencies
    assert (seen.status, seen.evidence) == ("pending", None)


def test_a_feature_never_passed_has_no_earlier_evidence(database: Database) -> None:
    """Nothing is shown where nothing was proved, not even by a pass without evidence."""
    (feature,) = add(database)
    finish(database, feature)
    database.write_now(lambda tx: outcome.mark_failing(tx, "tester", feature, "broke"))
    rule(database, back_off=0)
    work = take(database, named("bob"), feature).feature
    assert "earlier_evidence" not in work.wire()
