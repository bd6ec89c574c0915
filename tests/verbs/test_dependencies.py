"""Dependencies of any depth, without a circle, and with counters that follow every change."""

from __future__ import annotations

from functools import partial

import pytest

from dibs.database import Database
from dibs.verbs.create import create_bulk
from dibs.verbs.depend import add_dependency, remove_dependency, set_dependencies
from dibs_schema.refusals import NotFound, TooManyDependencies, WouldCycle
from dibs_schema.status import SATISFIED, Status
from verbs.stage import add, board, depend, finish, is_sound, journal, new, place, refused, row, rule


def _unmet(database: Database, feature: int) -> int:
    return int(row(database, feature)["unmet_dependencies"])


def _chain(database: Database, length: int) -> list[int]:
    """Create features of which each depends on the one before."""
    ids: list[int] = []
    while len(ids) < length:
        batch = [new(depends_on_indices=[n - 1]) for n in range(1, min(1_000, length - len(ids)))]
        first = new(dependencies=ids[-1:])
        ids += database.write_now(partial(create_bulk, by="planner", entries=[first, *batch])).ids
    return ids


def test_a_chain_of_five_thousand_is_accepted(database: Database) -> None:
    """No depth is too deep, and closing such a chain to a circle is refused with its path."""
    ids = _chain(database, 5_000)
    refusal = refused(database, WouldCycle, lambda tx: add_dependency(tx, "planner", ids[0], ids[-1]))
    path = refusal.details["path"]
    assert refusal.details["length"] == 5_000
    assert (path[0], path[1], path[-1]) == (ids[0], ids[-1], ids[0])
    assert path[1:-1] == ids[-1 : -len(path) + 1 : -1]
    assert len(str(refusal.answer())) < 1_000
    (extra,) = add(database)
    database.write_now(lambda tx: add_dependency(tx, "planner", extra, ids[-1]))
    assert is_sound(database)


@pytest.mark.parametrize("length", [2, 3, 10, 60])
def test_a_circle_of_any_length_is_refused_with_its_path(database: Database, length: int) -> None:
    """The path goes from the feature over what it would depend on back to itself."""
    ids = _chain(database, length)
    refusal = refused(database, WouldCycle, lambda tx: add_dependency(tx, "planner", ids[0], ids[-1]))
    path = [ids[0], *reversed(ids)]
    assert refusal.details["length"] == length
    assert refusal.details["path"] == (path if len(path) <= 50 else [*path[:49], path[-1]])
    assert " -> ".join(map(str, path[:3])) in refusal.message


def test_a_feature_does_not_depend_on_itself(database: Database) -> None:
    """The shortest circle has one edge."""
    (one,) = add(database)
    refusal = refused(database, WouldCycle, lambda tx: add_dependency(tx, "planner", one, one))
    assert refusal.details["path"] == [one, one]
    refused(database, WouldCycle, lambda tx: set_dependencies(tx, "planner", one, [one]))


def test_a_diamond_is_no_circle(database: Database) -> None:
    """Two ways to one feature are allowed."""
    bottom, left, right, top = add(database, 4)
    depend(database, left, bottom)
    depend(database, right, bottom)
    depend(database, top, left, right)
    assert [_unmet(database, one) for one in (bottom, left, right, top)] == [0, 1, 1, 2]


def test_a_removed_edge_closes_no_circle(database: Database) -> None:
    """After an edge is gone, the other direction is free."""
    one, two = add(database, 2)
    depend(database, two, one)
    database.write_now(lambda tx: remove_dependency(tx, "planner", two, one))
    database.write_now(lambda tx: add_dependency(tx, "planner", one, two))
    assert [_unmet(database, feature) for feature in (one, two)] == [1, 0]


def test_replacing_may_turn_an_edge_around_only_when_it_is_gone(database: Database) -> None:
    """`set` drops a feature's own old edges; a circle through another's edge is refused all the same."""
    one, two, three = add(database, 3)
    depend(database, two, one)
    depend(database, three, two)
    refused(database, WouldCycle, lambda tx: set_dependencies(tx, "planner", one, [three]))
    depend(database, three, one)
    assert [_unmet(database, feature) for feature in (one, two, three)] == [0, 1, 1]


@pytest.mark.parametrize("status", Status)
def test_an_edge_counts_while_its_dependency_is_unmet(database: Database, status: Status) -> None:
    """Adding and removing an edge changes the counter unless the dependency is passing or archived."""
    needed = place(database, status).id
    (waiting,) = add(database)
    counts = int(status not in SATISFIED)
    answer = database.write_now(lambda tx: add_dependency(tx, "planner", waiting, needed))
    assert (answer.unmet_dependencies, answer.changed) == (counts, [f"+{needed}"])
    assert _unmet(database, waiting) == counts
    answer = database.write_now(lambda tx: remove_dependency(tx, "planner", waiting, needed))
    assert (answer.unmet_dependencies, answer.changed) == (0, [f"-{needed}"])
    assert is_sound(database)


def test_what_is_so_already_changes_nothing(database: Database) -> None:
    """Adding an existing edge, removing a missing edge, and setting the same edges again write no event."""
    needed, waiting = add(database, 2)
    depend(database, waiting, needed)
    before = len(journal(database))
    assert database.write_now(lambda tx: add_dependency(tx, "planner", waiting, needed)).changed == []
    assert database.write_now(lambda tx: remove_dependency(tx, "planner", needed, waiting)).changed == []
    assert database.write_now(lambda tx: set_dependencies(tx, "planner", waiting, [needed, needed])).changed == []
    assert len(journal(database)) == before
    assert _unmet(database, waiting) == 1


def test_setting_replaces_all(database: Database) -> None:
    """Dependencies that are not in the new list are removed, and one event has all changes."""
    done, two, three, waiting = add(database, 4)
    finish(database, done)
    depend(database, waiting, done, two)
    answer = database.write_now(lambda tx: set_dependencies(tx, "planner", waiting, [three, two]))
    assert (answer.unmet_dependencies, answer.changed) == (2, [f"+{three}", f"-{done}"])
    assert journal(database, waiting)[-1]["detail"] == {"added": [three], "removed": [done]}
    database.write_now(lambda tx: set_dependencies(tx, "planner", waiting, []))
    assert _unmet(database, waiting) == 0
    assert board(database)["dependencies"] == []


def test_there_are_at_most_twenty(database: Database) -> None:
    """The twenty-first dependency is refused, however it comes; a rule may allow more."""
    ids = add(database, 21)
    (waiting,) = add(database)
    depend(database, waiting, *ids[:20])
    refused(database, TooManyDependencies, lambda tx: add_dependency(tx, "planner", waiting, ids[20]))
    refused(database, TooManyDependencies, lambda tx: set_dependencies(tx, "planner", waiting, ids))
    rule(database, max_dependencies=21)
    depend(database, waiting, *ids)
    assert _unmet(database, waiting) == 21


def test_fewer_is_always_allowed(database: Database) -> None:
    """A feature that has more than a later rule allows can lose edges one by one."""
    ids = add(database, 3)
    (waiting,) = add(database, dependencies=ids)
    rule(database, max_dependencies=1)
    database.write_now(lambda tx: remove_dependency(tx, "planner", waiting, ids[0]))
    assert _unmet(database, waiting) == 2


def test_unknown_features_are_not_found(database: Database) -> None:
    """Neither side of an edge may be missing."""
    (there,) = add(database)
    for verb in (add_dependency, remove_dependency):
        refused(database, NotFound, partial(verb, by="planner", feature=there, dependency=99))
        refused(database, NotFound, partial(verb, by="planner", feature=99, dependency=there))
    refused(database, NotFound, lambda tx: set_dependencies(tx, "planner", there, [99]))
    refused(database, NotFound, lambda tx: set_dependencies(tx, "planner", 99, []))
