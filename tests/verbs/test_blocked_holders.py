"""The holder of a feature whose dependency has become unmet is told, and may give the feature up at no cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.queries.get import get_by_id
from dibs.rules.dependencies import MAY_END_FREELY
from dibs.verbs import lease, outcome
from dibs.verbs.depend import add_dependency
from dibs.verbs.release import release
from dibs.verbs.skip import skip
from dibs.verbs.update import add_note
from dibs_schema.answers import Acknowledgement
from dibs_schema.refusals import UnmetDependencies
from dibs_schema.status import Status
from verbs.stage import Placed, add, alter, depend, finish, is_sound, journal, place, refused, row, rule


def _break(database: Database, feature: int) -> None:
    database.write_now(lambda tx: outcome.mark_failing(tx, "tess", feature, "it broke"))


def _beat(database: Database, on: Placed) -> Acknowledgement:
    return database.write_now(lambda tx: lease.heartbeat(tx, on.id, on.token))


def _held_above(database: Database, count: int = 1) -> tuple[Placed, list[int]]:
    """Return a claimed feature, and the passing ones that it depends on."""
    needed = [place(database, Status.PASSING).id for _ in range(count)]
    return place(database, Status.IN_PROGRESS, dependencies=needed), needed


def test_the_holder_is_told_as_long_as_a_dependency_is_unmet(database: Database) -> None:
    """Each heartbeat names what has become unmet, and what the holder may do; it ends when the dependency passes."""
    rule(database, back_off=0)
    on, (base,) = _held_above(database)
    assert (_beat(database, on).blocked_by, _beat(database, on).hint) == ([], None)
    _break(database, base)
    for _ in "ab":
        answer = _beat(database, on)
        assert (answer.blocked_by, answer.more_blocked_by, answer.hint) == ([base], 0, MAY_END_FREELY)
    assert database.read_now(lambda tx: get_by_id(tx, on.id)).blocked_by == [base]
    refused(database, UnmetDependencies, lambda tx: outcome.mark_passing(tx, "ada", on.id, on.token))
    finish(database, base)
    assert (_beat(database, on).blocked_by, _beat(database, on).hint) == ([], None)
    assert database.write_now(lambda tx: outcome.mark_passing(tx, "ada", on.id, on.token)).status == "passing"


def test_an_unmet_dependency_that_a_planner_adds_is_told(database: Database) -> None:
    """A claimed feature may get a dependency, of which its holder is informed."""
    on, _ = _held_above(database)
    (added,) = add(database)
    database.write_now(lambda tx: add_dependency(tx, "planner", on.id, added))
    assert _beat(database, on).blocked_by == [added]


def test_of_many_unmet_dependencies_three_are_named(database: Database) -> None:
    """The others are counted, and a note in the same answer is cut."""
    on, needed = _held_above(database, 5)
    for one in needed:
        _break(database, one)
    database.write_now(lambda tx: add_note(tx, "tess", on.id, "the parser is broken again " * 9))
    answer = _beat(database, on)
    assert (answer.blocked_by, answer.more_blocked_by, answer.new_notes) == (needed[:3], 2, 1)
    assert answer.note is not None
    assert len(answer.note.encode()) <= lease.NOTE_ROOM_IF_BLOCKED
    assert answer.note.startswith("the parser")


def _released(tx: Transaction, on: Placed) -> Acknowledgement:
    return release(tx, "ada", on.id, on.token)


def _released_by_a_planner(tx: Transaction, on: Placed) -> Acknowledgement:
    return release(tx, "planner", on.id, None, force=True)


def _skipped(tx: Transaction, on: Placed) -> Acknowledgement:
    return skip(tx, "ada", on.id, "its base is broken", on.token)


End = Callable[[Transaction, Placed], Acknowledgement]
ENDS = pytest.mark.parametrize("end", [_released, _released_by_a_planner, _skipped])


@ENDS
def test_giving_up_a_blocked_feature_costs_nothing(database: Database, end: End) -> None:
    """It counts neither as an attempt nor as a skip, and the feature is not stuck at the limits."""
    rule(database, max_attempts=3, max_skips=3)
    on, (base,) = _held_above(database)
    alter(database, on.id, attempts=3, skips=2)
    _break(database, base)
    answer = database.write_now(lambda tx: end(tx, on))
    assert (answer.status, answer.blocked_by) == ("pending", [base])
    now = row(database, on.id)
    assert (now["attempts"], now["skips"]) == (2, 2)
    assert journal(database, on.id)[-1]["detail"]["blocked_by"] == [base]
    assert is_sound(database)


@ENDS
def test_giving_up_a_feature_that_is_not_blocked_counts(database: Database, end: End) -> None:
    """The same calls without an unmet dependency reach the limits."""
    rule(database, max_attempts=3, max_skips=3)
    on, _ = _held_above(database)
    alter(database, on.id, attempts=3, skips=2)
    answer = database.write_now(lambda tx: end(tx, on))
    assert (answer.status, answer.blocked_by) == ("stuck", [])
    assert "blocked_by" not in journal(database, on.id)[-1]["detail"]


@pytest.mark.parametrize("end", [_released, _skipped])
def test_a_repeated_end_is_answered_alike(database: Database, end: End) -> None:
    """The acknowledgement of the very same call is the same, also after the dependency has passed again."""
    rule(database, back_off=0)
    on, (base,) = _held_above(database)
    _break(database, base)
    first = database.write_now(lambda tx: end(tx, on))
    finish(database, base)
    assert database.write_now(lambda tx: end(tx, on)) == first


def test_a_skip_without_a_claim_counts(database: Database) -> None:
    """Who has not claimed a blocked feature has no claim to give up."""
    (base,) = add(database)
    (waiting,) = add(database, dependencies=[base])
    depend(database, waiting, base)
    answer = database.write_now(lambda tx: skip(tx, "ada", waiting, "later"))
    assert (answer.skips, answer.blocked_by) == (1, [])
