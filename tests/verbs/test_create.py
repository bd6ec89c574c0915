"""Features are created one at a time or many at once, all or none."""

from __future__ import annotations

import threading
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from dibs.database import Database, open_database
from dibs.database.compiled import COPIED
from dibs.settings import Settings
from dibs.verbs.batch import find_cycle
from dibs.verbs.create import create, create_bulk
from dibs_schema.refusals import InvalidInput, NotFound, Refusal, TooManyDependencies, WouldCycle
from dibs_schema.tables import dependencies
from verbs.stage import add, board, finish, is_sound, journal, new, refused, row, rule


def _edges(database: Database) -> set[tuple[int, int]]:
    return {(edge["feature_id"], edge["dependency_id"]) for edge in board(database)[dependencies.name]}


def test_ids_count_from_one_in_each_project(database: Database, shared_db: str) -> None:
    """Numbers are small, in the order of the calls, and each project has its own."""
    assert add(database, 3) == [1, 2, 3]
    assert add(database) == [4]
    other = open_database(Settings(db=shared_db, project=f"neighbour {id(database)}"))
    try:
        assert add(other) == [1]
        assert len(board(other)["features"]) == 1
    finally:
        other.close(patience=5)
    assert len(board(database)["features"]) == 4


def test_a_refused_batch_leaves_no_gap_that_is_reused(database: Database) -> None:
    """Ids are never given twice, even after a refused batch."""
    add(database)
    refused(database, NotFound, lambda tx: create(tx, "planner", new(dependencies=[77])))
    assert add(database)[0] > 1


def test_new_features_queue_up_behind_the_others(database: Database) -> None:
    """Without a priority a feature is last; with a priority it has that place."""
    one, two = add(database, 2)
    (urgent,) = add(database, priority=-5)
    (last,) = add(database)
    assert [row(database, feature)["priority"] for feature in (one, two, urgent, last)] == [1, 2, -5, 3]


def test_a_batch_points_at_itself_in_any_direction(database: Database) -> None:
    """`depends_on_indices` may name earlier and later features, and may be combined with `dependencies`."""
    (there,) = add(database)
    batch = [
        new("first", depends_on_indices=[2]),
        new("second", depends_on_indices=[0, 2], dependencies=[there]),
        new("third"),
    ]
    made = database.write_now(lambda tx: create_bulk(tx, "planner", batch))
    first, second, third = made.ids
    assert (made.ids, made.count) == ([2, 3, 4], 3)
    assert _edges(database) == {(first, third), (second, first), (second, third), (second, there)}
    assert [row(database, one)["unmet_dependencies"] for one in made.ids] == [1, 3, 0]
    assert [row(database, one)["name"] for one in made.ids] == ["first", "second", "third"]
    assert is_sound(database)


def test_a_dependency_that_is_named_twice_is_one(database: Database) -> None:
    """The same feature by id twice, or by index twice, is one edge."""
    (there,) = add(database)
    batch = [new(), new(depends_on_indices=[0, 0], dependencies=[there, there])]
    made = database.write_now(lambda tx: create_bulk(tx, "planner", batch))
    assert row(database, made.ids[1])["unmet_dependencies"] == 2


def test_only_unmet_dependencies_are_counted(database: Database) -> None:
    """A new feature that depends on passing ones alone is ready at once."""
    done, waiting = add(database, 2)
    finish(database, done)
    (ready,) = add(database, dependencies=[done])
    (blocked,) = add(database, dependencies=[done, waiting])
    assert [row(database, one)["unmet_dependencies"] for one in (ready, blocked)] == [0, 1]


def _batch(*fields: dict[str, Any]) -> Any:
    return [new(**one) for one in fields]


REFUSED: list[tuple[str, Any, type[Refusal], str]] = [
    (
        "an index outside",
        _batch({}, {"depends_on_indices": [2]}),
        InvalidInput,
        "features[1].depends_on_indices",
    ),
    ("an index of itself", _batch({}, {"depends_on_indices": [1]}), WouldCycle, "features[1]"),
    ("an unknown id", _batch({}, {"dependencies": [99]}), NotFound, "99"),
    ("the id that it would get itself", _batch({"dependencies": [1]}), NotFound, "1"),
    ("the id that another of the batch would get", _batch({"dependencies": [2]}, {}), NotFound, "2"),
    (
        "a circle",
        _batch({"depends_on_indices": [1]}, {"depends_on_indices": [2]}, {"depends_on_indices": [0]}),
        WouldCycle,
        "#0 -> #1 -> #2 -> #0",
    ),
    (
        "too many",
        _batch(*[{}] * 21, {"depends_on_indices": list(range(21))}),
        TooManyDependencies,
        "features[21]",
    ),
]


@pytest.mark.parametrize(("batch", "kind", "named"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_batch_is_all_or_nothing(database: Database, batch: Any, kind: type[Refusal], named: str) -> None:
    """One feature that does not fit refuses the whole batch, and says which it is."""
    refusal = refused(database, kind, lambda tx: create_bulk(tx, "planner", batch))
    assert named in refusal.message
    if isinstance(refusal, InvalidInput):
        assert refusal.details["field"] == named


@pytest.mark.parametrize("length", [2, 3, 50, 1_000])
def test_a_circle_in_a_batch_is_named(database: Database, length: int) -> None:
    """A circle of any length is refused with its path by index, in a message that stays short."""
    batch = [new(depends_on_indices=[(place + 1) % length]) for place in range(length)]
    refusal = refused(database, WouldCycle, lambda tx: create_bulk(tx, "planner", batch))
    assert "#0 -> #1" in refusal.message
    assert len(refusal.message) <= 500
    assert refusal.details["path"][:2] == [0, 1]


def test_a_thousand_features_in_one_call(database: Database) -> None:
    """A batch may hold a thousand features, each depending on the one before."""
    batch = [new(f"link {n}", depends_on_indices=[n - 1] if n else []) for n in range(1_000)]
    made = database.write_now(lambda tx: create_bulk(tx, "planner", batch))
    assert made.ids == list(range(1, 1_001))
    assert len(journal(database)) == 1_000
    assert is_sound(database)


@pytest.mark.parametrize("count", [1, COPIED])
def test_special_characters_come_back_as_they_were(database: Database, count: int) -> None:
    """Whether a batch is so small that its rows are inserted one by one, or so large that they are copied."""
    text = "a\ttab, \\N, \\., \\\\, \"quotes\", 'one', a, comma\nand a line: \u00e4 \u4e2d \U0001f680"
    steps, paths = [text, "\\."], ['src/a "b" c.py', "docs/**"]
    batch = [new(f"{n} {text[:40]!r}", description=text, steps=steps, paths=paths) for n in range(count)]
    database.write_now(lambda tx: create_bulk(tx, "planner", batch))
    for number, one in enumerate(batch, 1):
        stored = row(database, number)
        assert [stored[name] for name in ("name", "description", "steps", "paths")] == [one.name, text, steps, paths]
        assert (stored["reference"], stored["evidence"], stored["passed_by"]) == (None, None, None)
    assert journal(database)[-1]["detail"] == {"depends_on": []}
    assert is_sound(database)


def test_the_most_dependencies_is_a_rule(database: Database) -> None:
    """`max_dependencies` is obeyed by single and bulk creation."""
    ids = add(database, 3)
    rule(database, max_dependencies=2)
    refusal = refused(database, TooManyDependencies, lambda tx: create(tx, "planner", new(dependencies=ids)))
    assert (refusal.details["count"], refusal.details["most"]) == (3, 2)
    database.write_now(lambda tx: create(tx, "planner", new(dependencies=ids[:2])))


def test_creators_at_once_never_share_a_number(database: Database, shared_db: str) -> None:
    """Batches that are created at the same moment get numbers of their own, without gaps inside a batch."""
    project = database.write_now(lambda tx: tx.project.name)
    got: list[list[int]] = []

    def make() -> None:
        mine = open_database(Settings(db=shared_db, project=project))
        try:
            got.extend(mine.write_now(partial(create_bulk, by="planner", entries=[new()] * 5)).ids for _ in range(5))
        finally:
            mine.close(patience=5)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one for ids in got for one in ids) == list(range(1, 101))
    assert all(ids == list(range(ids[0], ids[0] + 5)) for ids in got)


GRAPHS: list[tuple[list[tuple[int, int]], bool]] = [
    ([], False),
    ([(1, 2), (2, 3), (1, 3)], False),
    ([(1, 1)], True),
    ([(1, 2), (2, 1)], True),
    ([(1, 2), (3, 4), (4, 5), (5, 3)], True),
    ([(n, n + 1) for n in range(5_000)], False),
    ([*((n, n + 1) for n in range(5_000)), (5_000, 2_500)], True),
]


@pytest.mark.parametrize(("edges", "has_one"), GRAPHS)
def test_a_circle_is_found_as_a_path(edges: list[tuple[int, int]], has_one: bool) -> None:
    """The path of a cycle follows edges and ends at its start. Without a cycle there is no path."""
    path = find_cycle(edges)
    assert (path is not None) == has_one
    if path is not None:
        assert path[0] == path[-1]
        assert set(pairwise(path)) <= set(edges)
