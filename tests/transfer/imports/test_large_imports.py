"""A large import holds the write lock for short times only, and is all or nothing, whenever it is killed."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from dibs.database import Database, open_database
from dibs.database.compiled import JSONText
from dibs.queries.stats import get_stats
from dibs.rules.unfinished_imports import is_unfinished
from dibs.settings import Settings
from dibs.transfer import run_import
from dibs.transfer.formats import read_backlog
from dibs.transfer.importer import Import, import_features
from dibs.verbs.depend import add_dependency, remove_dependency
from dibs.verbs.project_settings import change_setting
from dibs.verbs.staged_import import IMPORTER, add_part, discard_part, publish, stage_part
from dibs_schema.refusals import Busy, DatabaseReplaced, DiskFull, OutcomeUnknown, ReadOnly, Unavailable
from dibs_schema.status import Status
from dibs_schema.tables import import_parts, imports
from races.servers import serving
from transfer.imports.importing import COUNT, PUBLISHED, SMALL_PART, UNPUBLISHED, import_list, listed
from verbs.stage import add, board, is_sound, journal, named, take


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A list of COUNT features."""
    return saved(tmp_path / "list.json", listed())


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a short list have several parts."""
    monkeypatch.setattr(run_import, "PART", SMALL_PART)


def saved(path: Path, entries: list[dict[str, Any]]) -> Path:
    """Write a list."""
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def die(db: str, file: Path, moment: str) -> None:
    """Import in a process that is killed at the moment."""
    command = [sys.executable, "-m", "transfer.imports.importing", db, str(file), moment]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL


def features(database: Database) -> dict[str, dict[str, Any]]:
    """Return the features of the list by their references."""
    return {one["reference"]: one for one in board(database)["features"] if one["reference"]}


def staged(database: Database) -> tuple[int, int]:
    """Return how many imports and parts are stored."""
    counts = [select(func.count()).select_from(table) for table in (imports, import_parts)]
    first, second = (database.read_now(methodcaller("value", one)) for one in counts)
    return first, second


def assert_complete(database: Database) -> None:
    """Assert that every feature is there once, with its state, dependencies and notes, and nothing is staged."""
    wanted, found = listed(), features(database)
    number = {reference: one["id"] for reference, one in found.items()}
    assert [one["id"] for one in wanted] == sorted(found, key=lambda one: number[one])
    assert [found[one["id"]]["status"] == Status.PASSING for one in wanted] == [one["passes"] for one in wanted]
    edges = {(one["feature_id"], one["dependency_id"]) for one in board(database)["dependencies"]}
    assert edges == {(number[one["id"]], number[other]) for one in wanted for other in one["dependencies"]}
    notes = [one["feature_id"] for one in journal(database) if one["kind"] == "note"]
    assert sorted(notes) == [number[one["id"]] for one in wanted if one["notes"]]
    assert is_sound(database)
    assert staged(database) == (0, 0)


def test_a_list_in_parts_becomes_what_it_becomes_in_one(
    database: Database, file: Path, small_parts: None, new_empty_db: Any
) -> None:
    """Ids, states, dependencies, notes and counters are those of one transaction, whatever waits for what."""
    done = run_import.run_import(database, Import(read_backlog(file), "list.json"), lambda *_: None)[1]
    assert (done.added, done.first_id, done.last_id) == (COUNT, 1, COUNT)
    assert_complete(database)
    with new_empty_db() as other:
        whole = open_database(Settings(db=other, project="default"))
        whole.write_now(lambda tx: import_features(tx, read_backlog(file).features, "list.json"))
        times = {"created_at", "updated_at", "passed_at"}
        rows = [
            [{name: value for name, value in one.items() if name not in times} for one in features(each).values()]
            for each in (database, whole)
        ]
        whole.close(patience=5)
    assert rows[0] == rows[1]


@pytest.mark.parametrize("moment", UNPUBLISHED)
def test_an_import_that_dies_before_it_is_published_has_added_nothing(db: str, file: Path, moment: str) -> None:
    """No reader sees anything of it, and the next import of the file adds all of it once."""
    die(db, file, moment)
    database = open_database(Settings(db=db))
    assert not database.read_now(is_unfinished)
    assert (features(database), journal(database)) == ({}, [])
    database.close(patience=5)
    assert import_list(db, file) == COUNT
    database = open_database(Settings(db=db))
    assert set(features(database)) == {one["id"] for one in listed()}
    assert is_sound(database)
    database.close(patience=5)


@pytest.mark.parametrize("moment", PUBLISHED)
def test_an_import_that_dies_later_is_finished_by_the_next_one(db: str, file: Path, moment: str) -> None:
    """The rest comes in, and the import of the same file then adds nothing."""
    die(db, file, moment)
    assert import_list(db, file) == 0
    database = open_database(Settings(db=db))
    assert_complete(database)
    database.close(patience=5)


def test_a_server_finishes_what_an_import_has_published(db: str, file: Path) -> None:
    """A server that opens the backlog adds the rest by itself, which counts as pending before."""
    die(db, file, "after add_part 0")
    database = open_database(Settings(db=db))
    assert database.read_now(lambda tx: get_stats(tx, "here")).total == COUNT
    with serving(db) as start:
        server = start("--project", "default", "--lease", "1")
        deadline = time.monotonic() + 30
        while database.read_now(is_unfinished):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert server.finish() == 0
    assert_complete(database)
    database.close(patience=5)


def test_a_small_import_finishes_the_large_one_first(db: str, file: Path, tmp_path: Path) -> None:
    """What was published comes before what is imported later."""
    die(db, file, "after publish_now 0")
    database = open_database(Settings(db=db))
    other = read_backlog(saved(tmp_path / "other.json", [{"id": "x", "name": "Other"}]))
    run_import.run_import(database, Import(other, "other.json"), lambda *_: None)
    assert [one["reference"] for one in board(database)["features"]] == [*(one["id"] for one in listed()), "x"]
    database.close(patience=5)


def test_a_lower_limit_does_not_stop_what_was_published(db: str, file: Path) -> None:
    """Nothing can refuse a part once the import counts."""
    die(db, file, "after publish_now 0")
    database = open_database(Settings(db=db))
    database.write_now(lambda tx: change_setting(tx, "ada", "max_dependencies", 1))
    run_import.finish_import(database, lambda *_: None)
    assert_complete(database)
    database.close(patience=5)


def test_what_was_never_published_is_swept_away(database: Database, file: Path, small_parts: None) -> None:
    """The next large import discards staged parts that are old, and no younger ones: their process may live."""
    for name, staged_at in (("old", 1.0), ("young", time.time())):
        row = {"project_id": 1, "id": name, "staged_at": staged_at, "first_id": None}
        database.write_now(methodcaller("insert", imports, [row]))
    run_import.run_import(database, Import(read_backlog(file), "list.json"), lambda *_: None)
    assert staged(database) == (1, 0)


class End(Exception):  # noqa: N818 - no error
    """Ends an import, as if its process had ended."""


def publish_and_end(database: Database, file: Path, by: str = IMPORTER) -> None:
    """Import a list, and end after its first part was added."""

    def progress(what: str, *_: int) -> None:
        if what == "adding":
            raise End

    with pytest.raises(End):
        run_import.run_import(database, Import(read_backlog(file), "list.json", by=by), progress)


def test_an_import_that_is_published_during_a_comparison_comes_in_once(
    database: Database, file: Path, small_parts: None
) -> None:
    """Nor does it help that a later feature has a greater id than those that are not added yet."""
    came: list[str] = []

    def progress(what: str, *_: int) -> None:
        came.append(what)
        if came.count("comparing") == 1 and what == "comparing":
            publish_and_end(database, file)
            add(database)
        if what == "staging":
            run_import.finish_import(database, lambda *_: None)

    done = run_import.run_import(database, Import(read_backlog(file), "list.json"), progress)[1]
    assert (done.added, done.present) == (0, COUNT)
    assert_complete(database)


def test_eight_imports_at_once_leave_one_list(db: str, file: Path) -> None:
    """Of eight processes that import the same file at once, one adds it, while an agent claims and passes."""
    code = (
        "import sys; from pathlib import Path; from transfer.imports.importing import import_list; "
        "print(import_list(sys.argv[1], Path(sys.argv[2])))"
    )
    tests = Path(__file__).parents[2]
    command = [sys.executable, "-c", code, db, str(file)]

    def run(_: int) -> int:
        done = subprocess.run(command, cwd=tests, check=True, capture_output=True, text=True, timeout=100)
        return int(done.stdout)

    with ThreadPoolExecutor(8) as pool:
        added = sorted(pool.map(run, range(8)))
    assert added == [0] * 7 + [COUNT]
    database = open_database(Settings(db=db))
    assert set(features(database)) == {one["id"] for one in listed()}
    assert is_sound(database)
    assert staged(database) == (0, 0)
    database.close(patience=5)


def test_an_agent_works_while_parts_are_added(database: Database, file: Path, small_parts: None) -> None:
    """A claim between two parts gets a feature whose dependencies are all there, and keeps it."""
    (own,) = add(database)
    held = take(database, named("ada"), own)
    taken: list[int] = []

    def progress(what: str, *_: int) -> None:
        if what == "adding" and not taken:
            taken.append(take(database, named("bob")).feature.id)

    run_import.run_import(database, Import(read_backlog(file), "list.json"), progress)
    claimed = [one["id"] for one in board(database)["features"] if one["status"] == Status.IN_PROGRESS]
    assert sorted(claimed) == sorted([held.feature.id, *taken])
    assert is_sound(database)


@pytest.mark.parametrize("refusal", [Busy, DiskFull, ReadOnly, OutcomeUnknown, DatabaseReplaced])
@pytest.mark.parametrize("is_own", [True, False])
def test_a_refusal_says_which_import_is_accepted(
    database: Database, file: Path, tmp_path: Path, small_parts: None, refusal: type[Unavailable], is_own: bool
) -> None:
    """After a part was added, none says that nothing was changed, and another file's import is not called accepted."""
    write_now: Any = database.write_now
    added = 0

    def refused_write(verb: Any, *how: Any) -> Any:
        nonlocal added
        if verb is add_part:
            added += 1
            if added == 2:
                raise refusal(
                    "It failed. The database is healthy, and nothing was changed. Nothing was changed. Mend it."
                )
        return write_now(verb, *how)

    listed_file = file
    if not is_own:
        publish_and_end(database, file)
        listed_file = saved(tmp_path / "other.json", [{"id": "x", "name": "Other"}])
    database.write_now = refused_write  # type: ignore[assignment, method-assign]  # the real one, which is refused once
    with pytest.raises(refusal) as caught:
        run_import.run_import(database, Import(read_backlog(listed_file), "list.json"), lambda *_: None)
    fact = caught.value.fact
    assert fact.startswith("The import is accepted, and this call added 7 of" if is_own else "Nothing of this file was")
    assert " 7 of " in fact
    assert fact.endswith("It failed. The database is healthy. Mend it.")


def test_parts_carry_who_imports(database: Database, file: Path, small_parts: None) -> None:
    """Whoever adds the rest, the features are by the person who has imported them."""
    publish_and_end(database, file, by="ada")
    run_import.finish_import(database, lambda *_: None)
    assert {one["created_by"] for one in features(database).values()} == {"ada"}
    assert {one["agent"] for one in journal(database)} == {"ada"}


def test_a_part_is_bounded_by_its_rows(
    database: Database, file: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dependencies, notes and file areas count, and what has more rows than a part may have is a part of its own."""
    monkeypatch.setattr(run_import, "PART_ROWS", 4)
    shown: list[int] = []

    def progress(what: str, done: int, _: int) -> None:
        if what == "adding":
            shown.append(done)

    run_import.run_import(database, Import(read_backlog(file), "list.json"), progress)
    assert_complete(database)
    of_feature = {one["id"]: 1 + len(one["dependencies"]) + len(one["notes"]) + len(one["paths"]) for one in listed()}
    rows = sum(of_feature.values())
    assert rows / 4 <= len(shown) <= COUNT
    assert max(after - before for before, after in pairwise([0, *shown])) <= 4


def test_staged_parts_are_discarded_one_by_one(database: Database) -> None:
    """The import itself is removed last, and a published one not at all."""
    for part in range(2):
        database.write_now(partial(stage_part, name="one", part=part, staged=JSONText("[]")))
    seen = [(database.write_now(partial(discard_part, name="one")), staged(database)) for _ in range(4)]
    assert seen == [(True, (1, 1)), (True, (1, 0)), (False, (0, 0)), (False, (0, 0))]
    database.write_now(partial(stage_part, name="two", part=0, staged=JSONText("[]")))
    database.write_now(lambda tx: publish(tx, "two", 1, 1, 0))
    assert (database.write_now(partial(discard_part, name="two")), staged(database)) == (False, (1, 1))


@pytest.mark.parametrize("moment", [1, 6])
@pytest.mark.parametrize("removed", [1, 99])
def test_an_import_that_was_discarded_compares_again(
    database: Database, file: Path, small_parts: None, moment: int, removed: int
) -> None:
    """After a jump of the clock another process takes it for an old one: a part or all of it is gone."""
    came: list[str] = []

    def progress(what: str, done: int, _: int) -> None:
        came.append(what)
        if (what, done) == ("staging", moment) and came.count("comparing") == 1:
            (name,) = database.read_now(lambda tx: [one["id"] for one in tx.all(select(imports.c.id))])
            for _ in range(removed):
                database.write_now(partial(discard_part, name=name))

    assert run_import.run_import(database, Import(read_backlog(file), "list.json"), progress)[1].added == COUNT
    assert came.count("comparing") == 2
    assert_complete(database)


def test_heights_of_the_critical_path_are_true_in_the_end(database: Database, file: Path, small_parts: None) -> None:
    """Also where agents change the dependencies between two parts, and features that were there become longer chains."""
    database.write_now(lambda tx: change_setting(tx, "ada", "order", "critical_path"))
    start: list[dict[str, Any]] = [
        {"id": "f3", "name": "feature 3"},
        {"id": "f9", "name": "feature 9", "dependencies": ["f3"]},
    ]
    first = saved(file.with_name("first.json"), start)
    run_import.run_import(database, Import(read_backlog(first), "list.json", named=True), lambda *_: None)
    added: list[int] = []

    def progress(what: str, *_: int) -> None:
        if what == "adding":
            assert is_sound(database)
            row = board(database)["dependencies"][-1]
            remove = partial(remove_dependency, by="ada", feature=row["feature_id"], dependency=row["dependency_id"])
            (other,) = add(database)
            database.write_now(lambda tx: add_dependency(tx, "ada", other, row["feature_id"]))
            if len(added) % 2:
                database.write_now(remove)
            added.append(other)
            assert is_sound(database)

    run_import.run_import(database, Import(read_backlog(file), "list.json", named=True), progress)
    assert len(added) > 3
    assert max(one["height"] for one in features(database).values()) > 1
    assert is_sound(database)


@pytest.fixture
def watched(database: Database) -> Callable[[], list[float]]:
    """The processor time in seconds of each write transaction's verb of this database."""
    spent: list[float] = []
    write_now: Any = database.write_now

    def timed_write(verb: Any, *how: Any) -> Any:
        def timed(tx: Any) -> Any:
            began = time.thread_time()
            try:
                return verb(tx)
            finally:
                spent.append(time.thread_time() - began)

        return write_now(timed, *how)

    database.write_now = timed_write  # type: ignore[assignment, method-assign]  # the real one, with a clock
    return lambda: spent


@pytest.mark.timing
@pytest.mark.parametrize(("length", "order"), [(100, "priority"), (20_000, "priority"), (100, "critical_path")])
def test_no_part_of_a_large_import_takes_long(
    database: Database, tmp_path: Path, watched: Callable[[], list[float]], length: int, order: str
) -> None:
    """While thousands of features come in, or hundreds of the greatest length, no transaction takes 60 ms of a processor."""
    database.write_now(lambda tx: change_setting(tx, "ada", "order", order))
    count = 3_000 if length == 100 else 400
    entries = [
        {
            "id": place,
            "name": f"feature {place}",
            "description": "x" * length,
            "steps": ["a", "b"],
            "passes": not place % 3,
        }
        | {"dependencies": [other for other in (place - 1, place - 6) if other >= 0 and place % 4]}
        for place in range(count)
    ]
    one = Import(read_backlog(saved(tmp_path / "list.json", entries)), "list.json")
    gc.collect()
    gc.freeze()  # as `dibs import` does after it has read the file
    try:
        assert run_import.run_import(database, one, lambda *_: None)[1].added == count
    finally:
        gc.unfreeze()
    assert max(watched()) < 0.060, sorted(watched())[-5:]
