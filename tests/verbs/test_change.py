"""The changes of a planner: descriptions, priority, archiving, and the retry of a stuck feature."""

from __future__ import annotations

from typing import Any

import pytest

from dibs.database import Database
from dibs.verbs.claim import claim
from dibs.verbs.outcome import mark_failing
from dibs.verbs.update import BLOCKS_AGAIN, NO_LONGER_BLOCKS, change
from dibs_schema.refusals import AlreadyClaimed, InvalidInput, NotFound, NotReady
from dibs_schema.status import Kind, Status
from verbs.stage import add, alter, depend, is_sound, journal, place, refused, row, take, token_of
from verbs.stage import named as agent

TEXTS: dict[str, Any] = {
    "name": "another name",
    "category": "another",
    "description": "other words",
    "steps": ["one", "two"],
    "priority": -7,
}


def _unmet(database: Database, feature: int) -> int:
    return int(row(database, feature)["unmet_dependencies"])


@pytest.mark.parametrize("name", TEXTS)
def test_each_text_changes_alone(database: Database, name: str) -> None:
    """One field changes, the others stay, and one event names it."""
    (feature,) = add(database)
    before = row(database, feature)
    answer = database.write_now(lambda tx: change(tx, "planner", feature, {name: TEXTS[name]}))
    assert answer.changed == [name]
    after = row(database, feature)
    derived = {name: {"name_digest", "search_text"} for name in ("category", "name")}.get(name, set())
    assert {column for column in after if after[column] != before[column]} == {name, "updated_at", *derived}
    assert is_sound(database)
    assert after[name] == TEXTS[name]
    assert journal(database, feature)[-1]["detail"] == {"fields": [name]}


def test_a_claimed_feature_can_be_reworded(database: Database) -> None:
    """New descriptions leave the claim unchanged."""
    on = place(database, Status.IN_PROGRESS)
    database.write_now(lambda tx: change(tx, "planner", on.id, TEXTS))
    assert row(database, on.id)["claim_token"] == on.token


@pytest.mark.parametrize("status", [Status.PENDING, Status.NEEDS_HUMAN, Status.STUCK, Status.PASSING])
def test_archiving_and_restoring_keep_the_dependents_right(database: Database, status: Status) -> None:
    """An archived feature never holds anyone back; restored, it does again unless it was passing."""
    on = place(database, status)
    (waiting,) = add(database, dependencies=[on.id])
    held = int(status is not Status.PASSING)
    assert _unmet(database, waiting) == held
    database.write_now(lambda tx: change(tx, "planner", on.id, {}, archived=True))
    assert _unmet(database, waiting) == 0
    assert is_sound(database)
    database.write_now(lambda tx: change(tx, "planner", on.id, {}, archived=False))
    assert _unmet(database, waiting) == held
    assert row(database, on.id)["status"] == status
    assert is_sound(database)


def test_a_dependent_can_be_built_while_its_dependency_is_off_the_board(database: Database) -> None:
    """Archiving frees the dependents for claims; restoring leaves their claims alone, and holds back the pass."""
    on = place(database, Status.PENDING)
    (waiting,) = add(database, dependencies=[on.id])
    database.write_now(lambda tx: change(tx, "planner", on.id, {}, archived=True))
    token = token_of(database, waiting)
    database.write_now(lambda tx: change(tx, "planner", on.id, {}, archived=False))
    assert (row(database, waiting)["claim_token"], _unmet(database, waiting)) == (token, 1)


def test_a_claimed_feature_cannot_be_archived(database: Database) -> None:
    """A claimed feature is not archived, and a call that also changes its description changes nothing."""
    on = place(database, Status.IN_PROGRESS)
    refused(database, AlreadyClaimed, lambda tx: change(tx, "planner", on.id, TEXTS, archived=True))


def test_retrying_resets_what_quarantined(database: Database) -> None:
    """A stuck feature returns with fresh counters and no back-off, and can be claimed at once."""
    on = place(database, Status.STUCK)
    now = row(database, on.id)["updated_at"]
    alter(database, on.id, failures=3, attempts=9, not_before=now + 500)
    answer = database.write_now(lambda tx: change(tx, "planner", on.id, {}, retry=True))
    assert (answer.status, answer.changed) == ("pending", ["retry"])
    kept = row(database, on.id)
    assert [kept[name] for name in ("attempts", "failures", "skips", "not_before")] == [0, 0, 0, None]
    take(database, agent("ada"), on.id)


def test_one_call_may_do_several_things(database: Database) -> None:
    """Texts, a retry and archiving in one call leave one event each, in that order."""
    on = place(database, Status.STUCK)
    answer = database.write_now(
        lambda tx: change(tx, "planner", on.id, {"name": "x", "priority": 3}, retry=True, archived=True)
    )
    assert (answer.status, answer.changed) == ("archived", ["name", "priority", "retry", "archived"])
    assert [event["kind"] for event in journal(database, on.id)][-3:] == [
        Kind.UPDATE,
        Kind.RETRY,
        Kind.ARCHIVE,
    ]
    assert row(database, on.id)["archived_from"] == "pending"
    assert is_sound(database)


def test_archiving_and_restoring_say_what_becomes_of_dependents(database: Database) -> None:
    """Dependents no longer wait for an archived feature, and wait for a restored one unless it passes."""
    for status, restored in ((Status.PENDING, BLOCKS_AGAIN), (Status.PASSING, None)):
        on = place(database, status)
        for archived, hint in ((True, NO_LONGER_BLOCKS), (False, restored)):
            answer = database.write_now(lambda tx: change(tx, "planner", on.id, {}, archived=archived))  # noqa: B023
            assert answer.hint == hint


def test_a_retry_ends_a_back_off(database: Database) -> None:
    """A planner need not wait until a feature that failed is ready again."""
    (feature,) = add(database)
    token = take(database, agent("ada"), feature).claim.token
    database.write_now(lambda tx: mark_failing(tx, "ada", feature, "broken", token))
    refusal = refused(database, NotReady, lambda tx: claim(tx, agent("ada"), feature))
    assert "retry=true" in refusal.message
    assert database.write_now(lambda tx: change(tx, "planner", feature, {}, retry=True)).status == "pending"
    assert row(database, feature)["failures"] == 0
    take(database, agent("ada"), feature)


def test_a_retry_finds_only_what_is_stuck_or_backs_off(database: Database) -> None:
    """A ready feature cannot be retried."""
    on = place(database, Status.PENDING)
    refusal = refused(database, InvalidInput, lambda tx: change(tx, "planner", on.id, {}, retry=True))
    assert refusal.details["field"] == "retry"


def test_there_must_be_something_to_change(database: Database) -> None:
    """A call without a change is refused, and so is a call for a missing feature."""
    (feature,) = add(database)
    refused(database, InvalidInput, lambda tx: change(tx, "planner", feature, {}))
    refused(database, NotFound, lambda tx: change(tx, "planner", 99, TEXTS))


def test_a_change_of_priority_moves_the_feature_in_the_queue(database: Database) -> None:
    """The next claim obeys the new priority."""
    first, second = add(database, 2)
    depend(database, first)
    database.write_now(lambda tx: change(tx, "planner", second, {"priority": -1}))
    assert take(database, agent("ada")).feature.id == second
