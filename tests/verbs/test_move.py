"""A planner moves a feature in the queue by writing its row alone: before another one, to the front or to the end."""

from __future__ import annotations

from functools import partial
from random import Random

import pytest
from sqlalchemy import bindparam, select

from dibs.database import Database
from dibs.queries.search import get_ready
from dibs.verbs import skip, update
from dibs.verbs.move import BY_CRITICAL_PATH, SPREAD, move_before, move_to
from dibs_schema.answers import Acknowledgement
from dibs_schema.refusals import InvalidInput, NotFound
from dibs_schema.status import Kind, Status
from dibs_schema.tables import features
from verbs.stage import add, board, depend, is_sound, journal, named, place, readings, refused, row, rule, take

EACH_ORDER = pytest.mark.parametrize("order", ["priority", "critical_path"])


def _queue(database: Database) -> list[int]:
    """Return the ready features in the order of the queue, read page by page."""
    found: list[int] = []
    cursor = None
    while True:
        page = database.read_now(partial(get_ready, limit=50, cursor=cursor))
        found += readings(page.features)
        cursor = page.next_cursor
        if cursor is None:
            return found


def _before(database: Database, feature: int, before: int) -> Acknowledgement:
    return database.write_now(lambda tx: move_before(tx, "meg", feature, before))


def _skip(database: Database, feature: int) -> None:
    database.write_now(lambda tx: skip.skip(tx, "ada", feature, "later"))


def _places(database: Database) -> dict[int, int]:
    here = features.c.project_id == bindparam("project")
    places = select(features.c.id, features.c.place).where(here)
    return {one["id"]: one["place"] for one in database.read_now(lambda tx: tx.all(places))}


def test_a_feature_comes_right_before_another(database: Database) -> None:
    """The moved feature is claimed before the other, and after all that were before that."""
    a, b, c, d = add(database, 4)
    answer = _before(database, d, b)
    assert _queue(database) == [a, d, b, c]
    assert (answer.changed, answer.priority, answer.hint) == (["order"], row(database, b)["priority"], None)
    _before(database, a, c)
    assert _queue(database) == [d, b, a, c]
    assert take(database, named("ada")).feature.id == d


def test_it_writes_the_row_of_the_moved_feature_alone(database: Database) -> None:
    """No other row changes, and one event says before which feature it went."""
    ids = add(database, 5)
    before = {one["id"]: one for one in board(database)["features"]}
    _before(database, ids[4], ids[1])
    changed = [one["id"] for one in board(database)["features"] if one != before[one["id"]]]
    assert changed == [ids[4]]
    last = journal(database)[-1]
    assert (last["kind"], last["agent"], last["feature_id"]) == (Kind.UPDATE, "meg", ids[4])
    assert (last["from_status"], last["to_status"]) == ("pending", "pending")
    assert last["detail"] == {"fields": ["order"], "before": ids[1]}


def test_features_of_one_priority_are_in_the_order_of_their_ids_until_one_moves(database: Database) -> None:
    """The same priority decides nothing; a move does, and setting the priority again undoes it."""
    a, b, c = add(database, 3, priority=7)
    assert _queue(database) == [a, b, c]
    _before(database, c, b)
    assert _queue(database) == [a, c, b]
    database.write_now(lambda tx: update.change(tx, "meg", c, {"priority": 7}))
    assert _queue(database) == [a, b, c]


@pytest.mark.parametrize("moves", [2, 3])
def test_a_repeated_move_changes_nothing(database: Database, moves: int) -> None:
    """The second of equal moves, to each place, writes neither a row nor an event, and is acknowledged."""
    a, b, c = add(database, 3)
    calls = [
        partial(move_before, by="meg", feature=c, before=b),
        partial(move_to, by="meg", feature=b, end="front"),
        partial(move_to, by="meg", feature=a, end="end"),
    ]
    for call in calls:
        database.write_now(call)
        before = board(database)
        for _ in range(1, moves):
            answer = database.write_now(call)
            assert (answer.status, answer.changed) == ("pending", [])
        assert board(database) == before


def test_the_ends_of_the_queue(database: Database) -> None:
    """The front is before all others, without skips; the end is behind all that were skipped as often."""
    a, b, c, d = add(database, 4)
    _skip(database, d)
    answer = database.write_now(lambda tx: move_to(tx, "meg", d, "front"))
    assert (answer.skips, answer.changed) == (0, ["order"])
    assert journal(database, d)[-1]["detail"] == {"fields": ["order"], "to": "front"}
    assert _queue(database) == [d, a, b, c]
    database.write_now(lambda tx: move_to(tx, "meg", a, "end"))
    assert _queue(database) == [d, b, c, a]
    _skip(database, b)
    database.write_now(lambda tx: move_to(tx, "meg", d, "end"))
    assert _queue(database) == [c, a, d, b]


def test_a_feature_alone_is_at_both_ends(database: Database) -> None:
    """Without any other feature there is nothing to move."""
    (only,) = add(database)
    before = board(database)
    for end in ("front", "end"):
        assert database.write_now(partial(move_to, by="meg", feature=only, end=end)).changed == []
    assert board(database) == before


def test_skips_are_those_of_the_feature_behind_it_at_most(database: Database) -> None:
    """A feature that was skipped moves before one that was not; one that was not stays before all that were."""
    a, b, c, d = add(database, 4)
    for one in (a, b):
        _skip(database, one)
    assert _queue(database) == [c, d, a, b]
    _before(database, b, d)
    assert _queue(database) == [c, b, d, a]
    assert (row(database, a)["skips"], row(database, b)["skips"]) == (1, 0)
    _before(database, c, a)
    assert _queue(database) == [b, d, c, a]
    assert row(database, c)["skips"] == 0


@pytest.mark.parametrize("status", Status)
def test_the_other_feature_may_have_any_status(database: Database, status: Status) -> None:
    """What was archived or has passed since the planner looked keeps its place, and the move goes there."""
    a, b = add(database, 2)
    other = place(database, status).id
    last, moved = add(database, 2)
    _before(database, moved, other)
    queue = [one for one in _queue(database) if one != other]
    assert queue == [a, b, moved, last]


@pytest.mark.parametrize("status", Status)
def test_a_feature_of_any_status_moves(database: Database, status: Status) -> None:
    """The status stays, and so does a claim."""
    (first,) = add(database)
    on = place(database, status)
    answer = _before(database, on.id, first)
    kept = row(database, on.id)
    assert (answer.status, kept["status"], kept["claim_token"]) == (status, status, on.token)
    assert is_sound(database)


def test_an_unknown_feature_is_not_found(database: Database) -> None:
    """Neither the moved feature nor the other one may be unknown, and a feature does not come before itself."""
    (here,) = add(database)
    for feature, before in ((here, 99), (99, here), (98, 99)):
        refusal = refused(database, NotFound, partial(move_before, by="meg", feature=feature, before=before))
        assert refusal.details["id"] == max(feature, before)
    refused(database, NotFound, lambda tx: move_to(tx, "meg", 99, "end"))
    refused(database, InvalidInput, lambda tx: move_before(tx, "meg", here, here))


def test_longer_chains_still_come_first(database: Database) -> None:
    """By critical path a move counts among equal chains, and its answer says that."""
    rule(database, order="critical_path")
    base, a, b, waiting = add(database, 4)
    depend(database, waiting, base)
    assert _before(database, b, base).hint == BY_CRITICAL_PATH
    assert _queue(database) == [base, b, a]


@EACH_ORDER
def test_a_thousand_moves_to_one_place(database: Database, engine: str, order: str) -> None:
    """Each comes right before the same feature, as if the gaps never ran out; few other rows were written.

    Without a server, that is: there, and in the other order, 150 moves use up the gaps, too.
    """
    rule(database, order=order)
    ids = add(database, 40, priority=1)
    target = ids[20]
    others = [one for one in ids if one != target]
    expected, spread = list(ids), 0
    before = _places(database)
    chance = Random(7)
    count = 1_000 if (engine, order) == ("sqlite", "priority") else 150
    for _ in range(count):
        moved = chance.choice(others)
        _before(database, moved, target)
        expected.remove(moved)
        expected.insert(expected.index(target), moved)
        after = _places(database)
        spread += sum(after[one] != before[one] for one in ids if one != moved)
        before = after
    assert _queue(database) == expected
    assert 0 < spread <= 5 * count, "five others a move, of 40"
    assert is_sound(database)


def test_spreading_reads_and_writes_the_nearest_alone(database: Database) -> None:
    """Of a thousand features of one priority, those far from a place without a gap keep theirs."""
    ids = add(database, 1_000, priority=1)
    start = _places(database)
    expected = list(ids)
    for number in range(60):
        moved = expected[-1 - number % 2]
        _before(database, moved, ids[500])
        expected.remove(moved)
        expected.insert(expected.index(ids[500]), moved)
    assert _queue(database) == expected
    after = _places(database)
    changed = [one for one in ids if after[one] != start[one]]
    assert 60 <= len(changed) <= 60 + 4 * SPREAD
    assert ids[0] not in changed


@EACH_ORDER
def test_random_moves_agree_with_a_list(database: Database, order: str) -> None:
    """Every move gives the order that the same move gives a list, among features of equal and different priorities."""
    rule(database, order=order)
    expected = add(database, 3) + add(database, 4, priority=50) + add(database, 3, priority=60)
    chance = Random(11)
    for _ in range(60):
        moved, other = chance.sample(expected, 2)
        expected.remove(moved)
        match chance.choice(["before", "before", "before", "front", "end"]):
            case "front":
                database.write_now(partial(move_to, by="meg", feature=moved, end="front"))
                expected.insert(0, moved)
            case "end":
                database.write_now(partial(move_to, by="meg", feature=moved, end="end"))
                expected.append(moved)
            case _:
                _before(database, moved, other)
                expected.insert(expected.index(other), moved)
        assert _queue(database) == expected
    assert is_sound(database)
