"""The changes after a cursor are reported completely, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.queries.change_feed import MOST, Changes, changes
from dibs.queries.follow import BEGINNING, newest
from dibs.verbs import claim, outcome, update
from dibs.verbs.depend import remove_dependency, set_dependencies
from dibs.verbs.update import add_note
from verbs.stage import add, alter, named, row


def after(database: Database, verb: Callable[[Transaction], object], *asked: int) -> Changes:
    """Return the report of one change, which on PostgreSQL waits for older transactions."""
    cursor = database.read_now(newest)
    database.write_now(verb)
    deadline = time.monotonic() + 20
    while not (found := database.read_now(lambda tx: changes(tx, cursor, asked))).any:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not database.read_now(lambda tx: changes(tx, found.cursor)).any
    return found


@pytest.fixture
def three(database: Database) -> tuple[int, int, int]:
    """Three features. The second depends on the first, and the third on the second."""
    (first,) = add(database)
    (second,) = add(database, dependencies=[first])
    (third,) = add(database, dependencies=[second])
    return first, second, third


def test_a_move_is_told_of_its_feature_and_the_neighbours_asked_for(
    database: Database, three: tuple[int, int, int]
) -> None:
    """A transition is reported for its feature and for the neighbours that show it."""
    first, second, third = three
    holder = named("ada")
    found = after(database, lambda tx: claim.mark_in_progress(tx, holder, first), second, third)
    assert found.features == {first, second}
    assert found.moved
    assert not found.listed
    token = row(database, first)["claim_token"]
    found = after(database, lambda tx: outcome.mark_passing(tx, "ada", first, token), third)
    assert found.features == {first}


def test_a_note_moves_nothing(database: Database, three: tuple[int, int, int]) -> None:
    """Changes that lists and counts do not show are not reported for them."""
    first, second, _ = three
    found = after(database, lambda tx: add_note(tx, "ada", first, "seen"), second)
    assert (found.features, found.moved, found.listed) == ({first}, False, False)


def test_an_edge_that_goes_is_told_at_both_ends(database: Database, three: tuple[int, int, int]) -> None:
    """A removed dependency is reported for both features."""
    first, second, third = three
    assert after(database, lambda tx: remove_dependency(tx, "planner", second, first), first, third).features == {
        first,
        second,
        third,
    }
    assert after(database, lambda tx: set_dependencies(tx, "planner", third, [first]), second).features == {
        second,
        third,
    }


def test_what_comes_and_goes_changes_the_list(database: Database, three: tuple[int, int, int]) -> None:
    """A feature that is archived or restored is one less or more to choose from."""
    _, _, third = three
    for archived in (True, False):
        found = after(database, lambda tx: update.change(tx, "planner", third, {}, archived=archived))  # noqa: B023
        assert found.listed
        assert found.moved


def test_more_than_one_look_holds_is_told_in_several(database: Database) -> None:
    """After a thousand events the next read continues at the cursor."""
    ids = add(database, 2 * MOST + 10)
    deadline = time.monotonic() + 20
    while database.read_now(newest) == BEGINNING:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    cursor, told, looks = BEGINNING, set[int](), 0
    while (found := database.read_now(lambda tx: changes(tx, cursor))).any:  # noqa: B023
        cursor, looks = found.cursor, looks + 1
        assert found.more is (len(found.features) == MOST)
        told |= found.features
    assert told == set(ids)
    assert looks == 3


def test_the_next_end_of_a_back_off_is_told(database: Database) -> None:
    """The time of the next end of a back-off is reported, because no event marks it."""
    first, second = add(database, 2)
    assert database.read_now(lambda tx: changes(tx, BEGINNING)).ready_in is None
    now = database.read_now(lambda tx: tx.now)
    alter(database, first, not_before=now + 300)
    alter(database, second, not_before=now + 100)
    left = database.read_now(lambda tx: changes(tx, BEGINNING)).ready_in
    assert left is not None
    assert 60 < left <= 100
