"""An import adds new features with their states and dependencies, and never adds one twice."""

from __future__ import annotations

import pytest

from dibs.database import Database
from dibs.transfer.importer import import_features
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status
from foreign import by_hand
from verbs.stage import REQUEST, add, board, imported, is_sound, named, refused, row, take

ANALYZED = "SELECT analyze_count FROM pg_stat_user_tables WHERE relname = 'features'"


def test_an_import_keeps_order_references_and_edges(database: Database) -> None:
    """Features are numbered in the file's order, and their references become edges in any direction."""
    add(database)
    features = [
        imported("b", dependencies=["a", "c"], priority=7),
        imported("a", status=Status.PASSING, evidence="seen"),
        imported("c", last_failure="broke"),
    ]
    made = database.write_now(lambda tx: import_features(tx, features))
    assert (made.added, made.present, made.first_id, made.last_id) == (3, 0, 2, 4)
    b, a, c = (row(database, one) for one in (2, 3, 4))
    assert [one["reference"] for one in (b, a, c)] == ["b", "a", "c"]
    assert (b["unmet_dependencies"], b["priority"]) == (1, 7)
    assert (a["status"], a["passed_by"], a["evidence"]) == ("passing", "import", {"summary": "seen"})
    assert c["last_failure"] == "broke"
    assert is_sound(database)


@pytest.mark.only_on("postgresql", reason="a file has no planner's statistics: its plans are the same for any size")
def test_a_large_import_is_surveyed_by_the_server(database: Database, shared_db: str) -> None:
    """After many rows PostgreSQL's planner has statistics at once, and not only after autovacuum."""
    add(database)
    (before,) = by_hand(shared_db, ANALYZED)
    features = [imported(f"f{n}") for n in range(500)]
    database.write_now(lambda tx: import_features(tx, features))
    (after,) = by_hand(shared_db, ANALYZED)
    assert after > before


def test_importing_twice_adds_nothing(database: Database) -> None:
    """A feature that is here already stays as it is, whatever the file says now."""
    features = [imported("a"), imported("b", dependencies=["a"])]
    database.write_now(lambda tx: import_features(tx, features))
    before = board(database)
    changed = [imported("a", name="renamed"), imported("b", status=Status.PASSING)]
    again = database.write_now(lambda tx: import_features(tx, changed))
    assert (again.added, again.present) == (0, 2)
    assert board(database) == before


def test_a_longer_file_adds_the_rest(database: Database) -> None:
    """New features of a file that was imported before may depend on the old ones."""
    database.write_now(lambda tx: import_features(tx, [imported("a")]))
    made = database.write_now(lambda tx: import_features(tx, [imported("a"), imported("b", dependencies=["a"])]))
    assert (made.added, made.present) == (1, 1)
    assert row(database, 2)["unmet_dependencies"] == 1
    assert is_sound(database)


@pytest.mark.parametrize("was", [Status.PENDING, Status.PASSING, Status.NEEDS_HUMAN, Status.STUCK])
def test_an_archived_import_holds_nobody_back(database: Database, was: Status) -> None:
    """An archived feature is imported with its earlier state, and its dependents are ready."""
    gone = imported("a", status=Status.ARCHIVED, archived_from=was, human_request=REQUEST)
    database.write_now(lambda tx: import_features(tx, [gone, imported("b", dependencies=["a"])]))
    assert (row(database, 1)["archived_from"], row(database, 2)["unmet_dependencies"]) == (was, 0)
    assert is_sound(database)


def test_an_answer_that_was_imported_comes_with_the_claim(database: Database) -> None:
    """The next claim brings a person's answer from the file."""
    said = {"answers": {"colour": "red"}, "by": "a person"}
    one = imported("a", human_request=REQUEST, human_answer=said)
    database.write_now(lambda tx: import_features(tx, [one]))
    told = take(database, named("ada")).feature.human_answer
    assert told is not None
    assert (told.answers, told.answered_by) == ({"colour": "red"}, "a person")


def test_an_import_is_whole_or_not_at_all(database: Database) -> None:
    """A feature with too many dependencies refuses the whole file."""
    many = [imported(f"f{number}") for number in range(21)]
    last = imported("last", dependencies=[one.reference for one in many])
    refused(database, InvalidInput, lambda tx: import_features(tx, [*many, last]))


def test_a_large_import(database: Database) -> None:
    """Two thousand features, each on the one before, are added at once and found again at once."""
    features = [imported(f"f{n}", dependencies=[f"f{n - 1}"] if n else []) for n in range(2_000)]
    assert database.write_now(lambda tx: import_features(tx, features)).added == 2_000
    assert database.write_now(lambda tx: import_features(tx, features)).added == 0
    assert is_sound(database)
