"""Testers get passing features, the least recently tested first, and never the same one twice."""

from __future__ import annotations

from dibs.database import Database
from dibs.verbs import outcome
from dibs.verbs.verify import RESERVATION, take_for_regression
from dibs_schema.status import Status
from verbs.stage import add, alter, journal, place, readings, row


def test_nothing_passing_is_nothing_to_test(database: Database) -> None:
    """Without a passing feature the answer is empty, says so, and writes nothing."""
    add(database, 3)
    before = len(journal(database))
    answer = database.write_now(lambda tx: take_for_regression(tx, 3))
    assert answer.wire()["features"] == []
    assert answer.message
    assert len(journal(database)) == before


def test_the_least_recently_tested_come_first(database: Database) -> None:
    """Features that were never tested come first, then the least recently tested; equal ones by id."""
    ids = [place(database, Status.PASSING).id for _ in range(4)]
    for feature, tested in zip(ids, (300.0, None, 100.0, None), strict=True):
        alter(database, feature, last_tested_at=tested)
    answer = database.write_now(lambda tx: take_for_regression(tx, 10))
    assert readings(answer.features) == [ids[1], ids[3], ids[2], ids[0]]


def test_two_testers_never_get_the_same(database: Database) -> None:
    """A feature is reserved for its tester for half an hour, or until it was tested."""
    ids = [place(database, Status.PASSING).id for _ in range(3)]
    first = database.write_now(lambda tx: take_for_regression(tx, 2))
    assert readings(first.features) == ids[:2]
    assert first.testing_until is not None
    assert first.testing_until.timestamp() == int(row(database, ids[0])["testing_until"])
    assert readings(database.write_now(lambda tx: take_for_regression(tx, 2)).features) == ids[2:]
    assert database.write_now(lambda tx: take_for_regression(tx, 2)).features == []
    database.write_now(lambda tx: outcome.mark_passing(tx, "tester", ids[0]))
    assert readings(database.write_now(lambda tx: take_for_regression(tx, 2)).features) == ids[:1]


def test_a_reservation_ends_by_itself(database: Database) -> None:
    """After half an hour another tester may have the feature."""
    on = place(database, Status.PASSING)
    taken = database.write_now(lambda tx: take_for_regression(tx, 1))
    assert taken.testing_until is not None
    alter(database, on.id, testing_until=taken.testing_until.timestamp() - RESERVATION)
    assert readings(database.write_now(lambda tx: take_for_regression(tx, 1)).features) == [on.id]


def test_a_regression_ends_the_reservation(database: Database) -> None:
    """A feature that broke is not reserved for testing any more, and was tested now."""
    on = place(database, Status.PASSING)
    database.write_now(lambda tx: take_for_regression(tx, 1))
    database.write_now(lambda tx: outcome.mark_failing(tx, "tester", on.id, "broke"))
    kept = row(database, on.id)
    assert (kept["status"], kept["testing_until"]) == ("pending", None)
    assert kept["last_tested_at"] is not None
