"""With `verifier other` a pass unblocks at once, and the project completes after another agent's confirmation."""

from __future__ import annotations

import pytest

from dibs.database import Database
from dibs.queries.get import get_by_id
from dibs.queries.queue_state import why_idle
from dibs.verbs import outcome, review, update
from dibs.verbs.verify import CANNOT_CONFIRM_OWN, NEEDS_CONFIRMATION, TEST_IT, take_for_regression
from dibs_schema.answers import Acknowledgement, Idle
from dibs_schema.refusals import InvalidInput, NotFound
from dibs_schema.status import Kind, Status
from verbs.stage import (
    add,
    alter,
    depend,
    journal,
    named,
    place,
    readings,
    refused,
    row,
    rule,
    take,
    token_of,
)


def _passed_by(database: Database, name: str, feature: int) -> Acknowledgement:
    token = take(database, named(name), feature).claim.token
    return database.write_now(lambda tx: outcome.mark_passing(tx, name, feature, token))


def _verified_by(database: Database, name: str, feature: int) -> Acknowledgement:
    return database.write_now(lambda tx: outcome.mark_passing(tx, name, feature))


def _idle(database: Database) -> Idle:
    return database.read_now(why_idle)


def test_a_pass_unblocks_at_once_and_only_complete_waits(database: Database) -> None:
    """Dependents are ready by the pass itself; the project is complete when another has confirmed each."""
    rule(database, verifier="other")
    first, second = add(database, 2)
    depend(database, second, first)
    answer = _passed_by(database, "ada", first)
    assert answer.unblocked == [second]
    assert (answer.hint, answer.next) == (NEEDS_CONFIRMATION, (TEST_IT,))
    _passed_by(database, "bob", second)
    idle = _idle(database)
    assert (idle.state, idle.counts.passing, idle.counts.unconfirmed) == ("waiting_for_confirmation", 2, 2)
    _verified_by(database, "bob", first)
    assert _idle(database).state == "waiting_for_confirmation"
    _verified_by(database, "ada", second)
    idle = _idle(database)
    assert (idle.state, idle.counts.unconfirmed) == ("complete", 0)
    assert row(database, first)["confirmed_by"] == "bob"
    _verified_by(database, "bob", first)
    assert [(one["detail"] or {}).get("confirmed") for one in journal(database, first)[-2:]] == [True, None]


def test_who_passed_cannot_confirm(database: Database) -> None:
    """A second test by the same agent is recorded but confirms nothing, and the answer says so."""
    rule(database, verifier="other")
    (feature,) = add(database)
    _passed_by(database, "ada", feature)
    again = _verified_by(database, "ada", feature)
    assert again.hint == CANNOT_CONFIRM_OWN
    kept = row(database, feature)
    assert (kept["confirmed_by"], kept["last_tested_at"] is not None) == (None, True)
    assert _idle(database).state == "waiting_for_confirmation"


def test_testers_are_given_what_they_may_confirm_first(database: Database) -> None:
    """The oldest pass of another agent comes first, then the least recently tested feature."""
    rule(database, verifier="other")
    tested, mine, theirs, older = add(database, 4)
    for feature, who in ((tested, "cleo"), (mine, "ada"), (theirs, "bob"), (older, "bob")):
        _passed_by(database, who, feature)
    _verified_by(database, "dan", tested)
    alter(database, older, unconfirmed_since=1.0)
    taken = database.write_now(lambda tx: take_for_regression(tx, 4, "ada"))
    assert readings(taken.features) == [older, theirs, mine, tested]


def test_a_tester_with_room_for_one_is_given_one(database: Database) -> None:
    """Unconfirmed passes never make the answer longer than the limit."""
    rule(database, verifier="other")
    for feature in add(database, 3):
        _passed_by(database, "bob", feature)
    assert len(database.write_now(lambda tx: take_for_regression(tx, 1, "ada")).features) == 1
    assert len(database.write_now(lambda tx: take_for_regression(tx, 10, "ada")).features) == 2


def test_a_person_confirms_any_pass_and_the_event_says_so(database: Database) -> None:
    """The way out of a project with one agent: a person approves."""
    rule(database, verifier="other")
    (feature,) = add(database)
    _passed_by(database, "ada", feature)
    answer = database.write_now(lambda tx: review.approve(tx, "ada", feature))
    assert answer.status == "passing"
    assert row(database, feature)["confirmed_by"] == "ada"
    assert _idle(database).state == "complete"
    last = journal(database, feature)[-1]
    assert (last["kind"], last["agent"], last["detail"]) == (
        Kind.VERIFY,
        "ada",
        {"confirmed": True, "approved": True},
    )


@pytest.mark.parametrize("status", Status)
def test_only_what_waits_for_approval_is_approved(database: Database, status: Status) -> None:
    """A feature that does not pass, or that needs no confirmation, is refused, and the refusal says its status."""
    on = place(database, status)
    refusal = refused(database, InvalidInput, lambda tx: review.approve(tx, "planner", on.id))
    assert f"Feature {on.id} is {status}" in refusal.message


def test_nothing_is_confirmed_that_is_not_there(database: Database) -> None:
    """An unknown id is not found, as for every other change."""
    refused(database, NotFound, lambda tx: review.approve(tx, "planner", 99))


def test_a_regression_takes_the_question_away(database: Database) -> None:
    """A regression ends the wait for a confirmation; the next pass waits again."""
    rule(database, verifier="other", back_off=0)
    (feature,) = add(database)
    _passed_by(database, "ada", feature)
    database.write_now(lambda tx: outcome.mark_failing(tx, "bob", feature, "broke"))
    kept = row(database, feature)
    assert (kept["unconfirmed_since"], kept["confirmed_by"]) == (None, None)
    assert _idle(database).counts.unconfirmed == 0
    _passed_by(database, "bob", feature)
    assert _idle(database).state == "waiting_for_confirmation"


def test_an_archived_feature_keeps_nobody_waiting(database: Database) -> None:
    """An archived pass needs no confirmation; a restored one does."""
    rule(database, verifier="other")
    one, other = add(database, 2)
    _passed_by(database, "ada", one)
    _passed_by(database, "ada", other)
    _verified_by(database, "bob", other)
    database.write_now(lambda tx: update.change(tx, "planner", one, {}, archived=True))
    assert _idle(database).state == "complete"
    database.write_now(lambda tx: update.change(tx, "planner", one, {}, archived=False))
    assert _idle(database).state == "waiting_for_confirmation"


def test_the_rule_speaks_of_passes_from_now_on(database: Database) -> None:
    """A pass from before the setting needs no confirmation, and without the setting no pass does."""
    before, after = add(database, 2)
    _passed_by(database, "ada", before)
    rule(database, verifier="other")
    assert _idle(database).counts.unconfirmed == 0
    _passed_by(database, "ada", after)
    assert _idle(database).counts.unconfirmed == 1
    rule(database, verifier="anyone")
    assert _idle(database).state == "complete"


def test_a_project_without_the_rule_is_complete_by_its_passes(database: Database) -> None:
    """By default a pass needs no confirmation, and its answer does not mention one."""
    (feature,) = add(database)
    answer = _passed_by(database, "ada", feature)
    assert answer.hint is None
    assert _idle(database).state == "complete"


def test_a_feature_tells_that_it_waits_and_who_confirmed_it(database: Database) -> None:
    """feature_get_by_id shows since when a pass waits, and afterwards who confirmed it."""
    rule(database, verifier="other")
    (feature,) = add(database)
    _passed_by(database, "ada", feature)
    shown = database.read_now(lambda tx: get_by_id(tx, feature))
    assert (shown.unconfirmed_since == shown.passed_at, shown.confirmed_by) == (True, None)
    _verified_by(database, "bob", feature)
    shown = database.read_now(lambda tx: get_by_id(tx, feature))
    assert (shown.unconfirmed_since, shown.confirmed_by) == (None, "bob")


def test_a_repeated_pass_says_again_that_it_waits(database: Database) -> None:
    """The acknowledgement of the very same pass is the same."""
    rule(database, verifier="other")
    (feature,) = add(database)
    token = token_of(database, feature)
    first = database.write_now(lambda tx: outcome.mark_passing(tx, "ada", feature, token))
    assert database.write_now(lambda tx: outcome.mark_passing(tx, "ada", feature, token)) == first
