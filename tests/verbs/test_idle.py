"""If there is nothing to claim, the answer has the first reason that applies, with counts."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest

from dibs.database import Database
from dibs.queries import queue_state
from dibs.verbs import claim
from dibs_schema.answers import Counts, Idle
from dibs_schema.status import Status
from verbs.stage import add, alter, depend, named, place, take


def _ask(database: Database, category: str | None = None) -> Idle:
    answer = database.write_now(lambda tx: claim.claim(tx, named("idler"), category=category))
    assert isinstance(answer, Idle)
    return answer


def _passing(database: Database, category: str) -> None:
    place(database, Status.PASSING, category=category)


def _archived(database: Database, category: str) -> None:
    place(database, Status.ARCHIVED, category=category)


def _claimed(database: Database, category: str) -> None:
    place(database, Status.IN_PROGRESS, category=category)


def _backing_off(database: Database, category: str) -> None:
    (feature,) = add(database, category=category)
    now = database.write_now(lambda tx: tx.now)
    alter(database, feature, not_before=now + 40)


def _asking(database: Database, category: str) -> None:
    place(database, Status.NEEDS_HUMAN, category=category)


def _stuck(database: Database, category: str) -> None:
    place(database, Status.STUCK, category=category)


def _blocked(database: Database, category: str) -> None:
    """Create a feature that depends on a stuck feature of another category."""
    needed = place(database, Status.STUCK, category="elsewhere").id
    (waiting,) = add(database, category=category)
    depend(database, waiting, needed)


ORDER: list[tuple[str, Callable[[Database, str], None]]] = [
    ("waiting_for_claims", _claimed),
    ("waiting_for_back_off", _backing_off),
    ("waiting_for_human", _asking),
    ("stuck", _stuck),
]
"""The reasons in the contract's order, each with its set-up."""


@pytest.mark.parametrize("place_in_order", range(len(ORDER)))
def test_the_first_reason_that_applies_is_told(database: Database, place_in_order: int) -> None:
    """Of several reasons the contract's first is the answer, whatever else is on the board."""
    _passing(database, "core")
    _blocked(database, "core")
    for _, bring_about in reversed(ORDER[place_in_order:]):
        bring_about(database, "core")
    assert _ask(database).state == ORDER[place_in_order][0]


@pytest.mark.parametrize("category", [None, "core"])
def test_who_waits_for_an_answer_is_named_with_the_question(database: Database, category: str | None) -> None:
    """The answer has the first features that wait, with what each asks, as data, separate from what the agent should do."""
    asking = [place(database, Status.NEEDS_HUMAN, category="core").id for _ in range(4)]
    alter(database, asking[1], human_request={"prompt": "Which\ncolour? " * 40, "fields": []})
    answer = _ask(database, category)
    assert answer.message.endswith("Stop, and tell your user to answer with `dibs answer`.")
    assert [one.id for one in answer.questions] == asking[:3]
    assert (answer.questions[0].prompt, answer.questions[0].asked_by) == ("Please decide.", f"ada-{asking[0]}")
    assert answer.questions[1].prompt.endswith("…")
    assert len(answer.questions[1].prompt) <= 120


def test_nothing_at_all_is_empty(database: Database) -> None:
    """A backlog without features, or with archived ones alone, is empty and not complete."""
    assert (_ask(database).state, _ask(database).counts) == ("empty", Counts())
    _archived(database, "core")
    assert _ask(database).state == "empty"


def test_all_passing_is_complete(database: Database) -> None:
    """Only when everything is passing or archived, and something passes, is the work done."""
    _archived(database, "core")
    _passing(database, "core")
    answer = _ask(database)
    assert (answer.state, answer.counts) == ("complete", Counts(passing=1, archived=1))
    assert answer.retry_after_seconds is None


@pytest.mark.parametrize("bring_about", [*(case[1] for case in ORDER), _blocked])
def test_open_work_is_never_complete(database: Database, bring_about: Callable[[Database, str], None]) -> None:
    """While any feature is claimed, backs off, waits or is stuck, the state is not `complete`."""
    _passing(database, "core")
    bring_about(database, "core")
    assert _ask(database).state != "complete"


def test_what_waits_for_the_unclaimable_is_told_last(database: Database) -> None:
    """If no other reason applies, the remaining features wait for dependencies."""
    _blocked(database, "core")
    assert _ask(database, "core").state == "waiting_for_dependencies"


@pytest.mark.parametrize("elsewhere", [case[1] for case in ORDER], ids=[case[0] for case in ORDER])
def test_with_a_category_the_answer_speaks_of_that_category(
    database: Database, elsewhere: Callable[[Database, str], None]
) -> None:
    """Features of other categories are no reason within the category."""
    elsewhere(database, "another")
    _blocked(database, "core")
    answer = _ask(database, "core")
    assert (answer.state, answer.counts) == ("waiting_for_dependencies", Counts(pending=1))
    assert answer.retry_after_seconds is None


def test_a_category_is_never_complete(database: Database) -> None:
    """If all features of a category pass, or it has none, the answer is empty, and names the next step."""
    _passing(database, "core")
    for category in ("core", "no such category"):
        answer = _ask(database, category)
        assert answer.state == "empty"
        assert [step.operation for step in answer.next] == ["feature_claim_and_get"]


def test_time_that_helps_is_told(database: Database) -> None:
    """`retry_after_seconds` is the time to the end of a back-off or a lease, at most as long as a claim waits."""
    _backing_off(database, "core")
    assert 38 <= (_ask(database).retry_after_seconds or 0) <= 40
    alter(database, 1, not_before=database.write_now(lambda tx: tx.now) + 500)
    assert _ask(database).retry_after_seconds == 45
    holder = named("ada", lease=25)
    (feature,) = add(database)
    take(database, holder, feature)
    assert (_ask(database).state, 24 <= (_ask(database).retry_after_seconds or 0) <= 25) == (
        "waiting_for_claims",
        True,
    )


def test_time_within_a_category_is_that_of_the_category(database: Database) -> None:
    """A claim elsewhere that ends sooner does not call a caller back who asks for this category."""
    one, two = *add(database, category="core"), *add(database, category="another")
    take(database, named("ada", lease=50), one)
    take(database, named("grace", lease=5), two)
    assert (_ask(database, "core").retry_after_seconds or 0) > 40


def test_counts_tell_each_status(database: Database) -> None:
    """Counts are by status, with what is ready as a part of what is pending."""
    for status in Status:
        place(database, status)
    _backing_off(database, "core")
    counts = database.read_now(queue_state.counts)
    assert counts == Counts(ready=1, pending=2, in_progress=1, passing=1, needs_human=1, stuck=1, archived=1)
    assert database.read_now(lambda tx: queue_state.counts(tx, "core")) == counts
    assert database.read_now(lambda tx: queue_state.counts(tx, "another")) == Counts()


@pytest.mark.parametrize("category", [None, "core"])
def test_a_glance_finds_what_a_claim_would(database: Database, category: str | None) -> None:
    """Ready features are counted without a claim, with the seconds until a lease or a back-off ends."""
    assert database.read_now(lambda tx: queue_state.look_ahead(tx, category))[1] == inf
    _backing_off(database, "core")
    _blocked(database, "core")
    there, seconds = database.read_now(lambda tx: queue_state.look_ahead(tx, category))
    assert (there.counts.ready, there.state, 38 <= seconds <= 40) == (0, "waiting_for_back_off", True)
    (feature,) = add(database)
    assert database.read_now(lambda tx: queue_state.look_ahead(tx, category))[0].counts.ready == 1
    take(database, named("ada", lease=5), feature)
    there, seconds = database.read_now(lambda tx: queue_state.look_ahead(tx, category))
    assert (there.counts.ready, there.state, 4 <= seconds <= 5) == (0, "waiting_for_claims", True)


def test_a_category_that_no_feature_has_leads_to_those_there_are(database: Database) -> None:
    """A category in another case is answered with its own spelling, and an unknown one with those of ready features."""
    add(database, category="Core API")
    add(database, category="docs")
    idle = _ask(database, "core api")
    assert (idle.state, idle.next[0].arguments) == ("empty", {"category": "Core API"})
    idle = _ask(database, "nothing")
    assert idle.message == (
        "No feature has the category 'nothing'. The features that can be claimed have the categories 'Core API', 'docs'."
    )
