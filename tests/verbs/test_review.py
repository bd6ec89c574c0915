"""A person returns a passing feature with feedback, or rejects it; its next worker gets the words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.queries.get import get_by_id
from dibs.queries.handover import LEARNED
from dibs.queries.overview import get_overview
from dibs.verbs import outcome, review, update
from dibs_schema.answers import Acknowledgement
from dibs_schema.refusals import ClaimLost, InvalidInput, NotFound
from dibs_schema.status import Kind, Status
from verbs.stage import add, depend, finish, is_sound, journal, named, place, refused, row, rule, take

Undo = Callable[[Transaction, str, int, str], Acknowledgement]
BOTH = pytest.mark.parametrize(
    ("undo", "status", "kind"),
    [(review.return_to_queue, Status.PENDING, Kind.RETURN), (review.reject, Status.STUCK, Kind.REJECT)],
    ids=["return", "reject"],
)


def _undo(database: Database, undo: Undo, feature: int, words: str = "the text is cut off") -> Acknowledgement:
    return database.write_now(lambda tx: undo(tx, "meg", feature, words))


@BOTH
def test_a_pass_is_undone(database: Database, undo: Undo, status: Status, kind: Kind) -> None:
    """The feature changes its status, nothing of the pass is left, and one event has the words."""
    rule(database, verifier="other")
    on = place(database, Status.PASSING)
    answer = _undo(database, undo, on.id)
    kept = row(database, on.id)
    assert answer.status == kept["status"] == status
    assert (kept["passed_by"], kept["passed_at"], kept["unconfirmed_since"], kept["ended_token"]) == (None,) * 4
    assert kept["last_failure"] == "the text is cut off"
    last = journal(database, on.id)[-1]
    assert (last["kind"], last["agent"], last["from_status"], last["to_status"]) == (kind, "meg", "passing", status)
    assert last["detail"]["reason"] == "the text is cut off"
    assert is_sound(database)


@BOTH
@pytest.mark.parametrize("other", [one for one in Status if one is not Status.PASSING])
def test_only_a_passing_feature_is_reviewed(
    database: Database, undo: Undo, status: Status, kind: Kind, other: Status
) -> None:
    """Any other status is refused, and the refusal says it."""
    on = place(database, other)
    refusal = refused(database, InvalidInput, lambda tx: undo(tx, "meg", on.id, "no"))
    assert refusal.fact == f"Feature {on.id} is {other}; only a passing feature can be {kind}ed."


@BOTH
def test_an_unknown_feature_is_not_found(database: Database, undo: Undo, status: Status, kind: Kind) -> None:
    """An id that does not exist is not found."""
    refused(database, NotFound, lambda tx: undo(tx, "meg", 99, "no"))


@BOTH
def test_dependents_are_treated_as_after_a_regression(
    database: Database, undo: Undo, status: Status, kind: Kind
) -> None:
    """Pending ones wait, holders keep their claims, passing ones await a recheck, and each gets an event."""
    base = place(database, Status.PASSING).id
    waiting, held, above = add(database, 3)
    for one in (waiting, held, above):
        depend(database, one, base)
    claim = take(database, named("bob"), held).claim
    finish(database, above)
    _undo(database, undo, base)
    assert [row(database, one)["unmet_dependencies"] for one in (waiting, held, above)] == [1, 1, 1]
    assert row(database, held)["claim_token"] == claim.token
    assert row(database, above)["recheck_since"] is not None
    assert [journal(database, one)[-1]["kind"] for one in (waiting, held, above)] == [Kind.UNMET] * 3
    assert is_sound(database)


@BOTH
def test_it_ends_a_recheck(database: Database, undo: Undo, status: Status, kind: Kind) -> None:
    """A feature that awaits a recheck awaits none after a person has undone its pass."""
    base, above = (place(database, Status.PASSING).id for _ in "ab")
    depend(database, above, base)
    database.write_now(lambda tx: outcome.mark_failing(tx, "tess", base, "broke"))
    assert row(database, above)["recheck_since"] is not None
    _undo(database, undo, above)
    assert row(database, above)["recheck_since"] is None
    assert is_sound(database)


@BOTH
def test_a_late_pass_has_no_effect(database: Database, undo: Undo, status: Status, kind: Kind) -> None:
    """The call that passed the feature, repeated after the review, is refused."""
    (feature,) = add(database)
    token = take(database, named("ada"), feature).claim.token
    database.write_now(lambda tx: outcome.mark_passing(tx, "ada", feature, token))
    _undo(database, undo, feature)
    refused(database, ClaimLost, lambda tx: outcome.mark_passing(tx, "ada", feature, token))


def test_returns_are_counted(database: Database) -> None:
    """Each return says how many there were, and so does the feature."""
    (feature,) = add(database)
    for times in (1, 2, 3):
        finish(database, feature)
        assert _undo(database, review.return_to_queue, feature).times_returned == times
    assert database.read_now(lambda tx: get_by_id(tx, feature)).times_returned == 3


def test_a_return_ends_the_wait_of_an_idle_worker(database: Database) -> None:
    """A returned feature can be claimed at once, and waiting claims look again."""
    on = place(database, Status.PASSING)

    def undo(tx: Transaction) -> bool:
        review.return_to_queue(tx, "meg", on.id, "not yet")
        return tx.wakes

    assert database.write_now(undo)
    assert take(database, named("bob")).feature.id == on.id


def test_the_next_claims_bring_the_feedback_until_the_next_pass(database: Database) -> None:
    """Each worker reads the person's words, also after a failure and many notes; after a pass nobody does."""
    rule(database, back_off=0)
    (feature,) = add(database)
    finish(database, feature)
    _undo(database, review.return_to_queue, feature, "the text is cut off")
    first = take(database, named("bob"), feature)
    feedback = first.feature.feedback
    assert feedback is not None
    assert (feedback.text, feedback.agent, feedback.times_returned) == ("the text is cut off", "meg", 1)
    database.write_now(lambda tx: outcome.mark_failing(tx, "bob", feature, "no idea", first.claim.token))
    for _ in range(LEARNED):
        database.write_now(lambda tx: update.add_note(tx, "ada", feature, "look at the margin"))
    second = take(database, named("bob"), feature)
    assert second.feature.feedback == feedback
    database.write_now(lambda tx: outcome.mark_passing(tx, "bob", feature, second.claim.token))
    database.write_now(lambda tx: outcome.mark_failing(tx, "tess", feature, "broke"))
    assert take(database, named("bob"), feature).feature.feedback is None


def test_the_reason_of_a_rejection_comes_with_the_claim_after_a_retry(database: Database) -> None:
    """A rejected feature is listed as stuck for that reason, and after a retry its worker reads it."""
    (feature,) = add(database)
    finish(database, feature)
    _undo(database, review.reject, feature, "nobody needs it")
    (stuck,) = database.read_now(lambda tx: get_overview(tx, "a database")).stuck
    assert (stuck.id, stuck.reason) == (feature, "rejected: nobody needs it")
    database.write_now(lambda tx: update.change(tx, "meg", feature, {}, retry=True))
    feedback = take(database, named("bob"), feature).feature.feedback
    assert feedback is not None
    assert (feedback.text, feedback.times_returned) == ("nobody needs it", 0)
