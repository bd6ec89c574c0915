"""A reference belongs to the list that it comes from: lists with equal ids stay apart, and a list is found again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dibs.database import Database
from dibs.transfer.comparison import Comparison
from dibs.transfer.formats.backlog import Backlog, ImportedFeature
from dibs.transfer.importer import Import, Outdated
from dibs.transfer.run_import import run_import
from dibs.transfer.sources import source_of
from dibs.verbs.update import change
from dibs_schema.answers import Imported
from dibs_schema.folding import name_digest
from dibs_schema.refusals import InvalidInput
from foreign import by_hand
from verbs.stage import add, board, imported, is_sound, row

SCHEMA = [imported("1", name="Schema"), imported("2", name="Login"), imported("3", name="Logout")]
PAYMENTS = [imported("1", name="Payments"), imported("2", name="Refunds"), imported("3", name="Logout")]


def without_id(*names: str) -> list[ImportedFeature]:
    """Return features that are known by their categories and names, in this order."""
    return [imported(f"text-{name_digest('core', name)[:12]}", name=name, priority=at) for at, name in enumerate(names)]


def bring(
    database: Database,
    features: list[ImportedFeature],
    source: str = "a.json",
    *,
    says: str | None = None,
    named: bool = False,
) -> Imported:
    """Import features as a file with that path does; `says` is the source that the file itself names."""
    one = Import(Backlog("list", features, says), says or source, named=named)
    comparison = database.read_now(one.compare)
    return database.write_now(lambda tx: one.apply(tx, comparison))[0]


def compared(database: Database, features: list[ImportedFeature], source: str = "a.json") -> Comparison:
    """Compare features as a dry run does."""
    return database.read_now(Import(Backlog("list", features), source).compare)


def as_by_an_older_version(db: str) -> None:
    """Bring a database into the state in which versions without sources leave it."""
    by_hand(db, "UPDATE features SET source = NULL")


def test_another_list_with_the_same_ids_is_added(database: Database) -> None:
    """Equal ids of two files are two features; the second reference names its source."""
    assert bring(database, SCHEMA).added == 3
    assert bring(database, PAYMENTS, "b.json").added == 3
    assert [row(database, one)["reference"] for one in (1, 4, 6)] == ["1", "b.json:1", "b.json:3"]
    assert [row(database, one)["source"] for one in (1, 4, 6)] == ["a.json", "b.json", "b.json"]
    before = board(database)
    for features, source in ((SCHEMA, "a.json"), (PAYMENTS, "b.json")):
        again = bring(database, features, source)
        assert (again.added, again.present, again.differing) == (0, 3, {})
    assert board(database) == before
    assert is_sound(database)


def test_an_id_that_another_list_has_taken_since(database: Database) -> None:
    """A list keeps its features apart whichever of two lists comes first with a new id."""
    bring(database, SCHEMA[:1])
    bring(database, PAYMENTS[:2], "b.json")
    assert bring(database, SCHEMA).added == 2
    assert [row(database, one)["reference"] for one in range(1, 6)] == ["1", "b.json:1", "2", "a.json:2", "3"]
    assert bring(database, SCHEMA).added == bring(database, PAYMENTS[:2], "b.json").added == 0


def test_dependencies_stay_within_their_list(database: Database) -> None:
    """An id in a list of dependencies is one of the same source."""
    bring(database, SCHEMA)
    bring(database, [PAYMENTS[0], replace(PAYMENTS[1], dependencies=["1"])], "b.json")
    assert not compared(database, [PAYMENTS[0], replace(PAYMENTS[1], dependencies=["1"])], "b.json").differences
    assert row(database, 5)["unmet_dependencies"] == 1


def test_a_file_that_became_another_list_is_refused(database: Database) -> None:
    """Where most names of equal ids differ, the user must name the source, and nothing is imported before."""
    bring(database, SCHEMA)
    before = board(database)
    with pytest.raises(InvalidInput, match="2 of 3 ids of the file belong to features with other names here") as caught:
        bring(database, PAYMENTS)
    assert "'1' is 'Schema'" in caught.value.message
    assert "--source NAME" in caught.value.message
    assert caught.value.message.endswith("Nothing was imported.")
    assert board(database) == before
    assert bring(database, PAYMENTS, "payments", named=True).added == 3
    edited = bring(database, PAYMENTS, "a.json", named=True)
    assert (edited.added, edited.differing) == (0, {"name": 2})


def test_some_other_names_are_edits(database: Database) -> None:
    """A list in which fewer than half of the names were edited is the same list."""
    bring(database, SCHEMA)
    edited = bring(database, [imported("1", name="Database schema"), *SCHEMA[1:], imported("4")])
    assert (edited.added, edited.differing) == (1, {"name": 1})


def test_a_file_that_was_moved_is_found_again(database: Database) -> None:
    """The same ids with the same names under another path are the same list, with the source that it had."""
    bring(database, SCHEMA)
    again = bring(database, [*SCHEMA, imported("4")], "docs/a.json")
    assert (again.added, again.present, again.source) == (1, 3, "a.json")


def test_a_source_that_the_file_names_is_its_own(database: Database) -> None:
    """A new branch with the same stories is another list, wherever its file is."""
    bring(database, SCHEMA, says="feature/one")
    assert bring(database, SCHEMA, says="feature/two").added == 3
    assert bring(database, SCHEMA, "elsewhere.json", says="feature/one").added == 0


@pytest.mark.parametrize("says", [None, "feature/one"])
def test_what_an_older_version_imported_is_found_again(database: Database, db: str, says: str | None) -> None:
    """It gets its source with the next import, and keeps its references."""
    bring(database, SCHEMA)
    as_by_an_older_version(db)
    again = bring(database, [*SCHEMA, imported("4")], says=says)
    assert (again.added, again.present) == (1, 3)
    assert {row(database, one)["source"] for one in range(1, 5)} == {says or "a.json"}
    assert [row(database, one)["reference"] for one in range(1, 5)] == ["1", "2", "3", "4"]
    assert bring(database, PAYMENTS, "b.json").added == 3


def test_another_list_is_not_taken_for_what_an_older_version_imported(database: Database, db: str) -> None:
    """Its ids have no source, so the user must name one."""
    bring(database, SCHEMA)
    as_by_an_older_version(db)
    with pytest.raises(InvalidInput, match="--source NAME"):
        bring(database, PAYMENTS, "b.json")
    assert bring(database, PAYMENTS, "b.json", named=True).added == 3


def test_places_as_references_of_an_older_version(database: Database, db: str) -> None:
    """Entries without ids, whose references were places, are found by category and name, in any order."""
    bring(database, without_id("a", "b"))
    as_by_an_older_version(db)
    by_hand(db, "UPDATE features SET reference = CAST(id AS TEXT)")
    again = bring(database, without_id("new", "b", "a"))
    assert (again.added, again.present) == (1, 2)


def test_features_of_agents_are_no_list(database: Database) -> None:
    """What was created here is never taken for an entry of a file."""
    add(database, 3, name="Schema")
    assert bring(database, SCHEMA).added == 3


def test_without_ids_a_new_first_entry_is_the_only_new_one(database: Database) -> None:
    """The place in the file identifies nothing, and orders nothing that is here already."""
    bring(database, without_id("a", "b"))
    again = bring(database, without_id("new", "a", "b"))
    assert (again.added, again.present, again.differing) == (1, 2, {})
    assert row(database, 3)["name"] == "new"


def test_ids_that_left_the_file_are_named(database: Database) -> None:
    """Features that are archived are done with, and the others stay."""
    bring(database, SCHEMA)
    database.write_now(lambda tx: change(tx, "planner", 2, {}, archived=True))
    assert bring(database, SCHEMA[2:]).gone == ["1"]
    assert bring(database, PAYMENTS, "b.json").gone == []


def test_an_import_that_another_one_has_overtaken(database: Database) -> None:
    """What was added after the comparison is not added again: the import compares once more."""
    one = Import(Backlog("list", SCHEMA), "a.json")
    comparison = database.read_now(one.compare)
    bring(database, SCHEMA[:2])
    with pytest.raises(Outdated):
        database.write_now(lambda tx: one.apply(tx, comparison))
    done = run_import(database, one, lambda *_: None)[1]
    assert (done.added, done.present) == (1, 2)
    assert is_sound(database)


def test_the_source_of_a_file_is_its_path_in_the_repository(tmp_path: Path) -> None:
    """All worktrees and folders of a repository name it alike; standard input has a name of its own."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "docs").mkdir()
    assert source_of(tmp_path / "docs" / "list.json") == "docs/list.json"
    assert source_of(Path("-")) == "standard input"
