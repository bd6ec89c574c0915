"""The audit finds every stored value that differs from the dependencies, paths and events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial

import pytest
from sqlalchemy import Executable, delete, insert, update

from dibs.database import Database, open_database
from dibs.queries.audit import Audit, audit
from dibs.settings import Settings
from dibs.transfer.importer import import_features
from dibs.verbs.repair import repair_counters
from dibs_schema.folding import name_digest
from dibs_schema.status import Kind, Status
from dibs_schema.tables import areas, dependencies, events
from foreign import connected
from verbs.stage import add, alter, depend, imported, is_sound, journal, named, place, rule, take

NOT_COMPARED = {"features", "leases", "writers"}
"""The fields of an audit that are not differences."""
_SRC = (areas.c.feature_id == 2) & (areas.c.beginning == "src/")


def test_a_sound_backlog_passes(database: Database) -> None:
    """A backlog with features in every state and dependencies is sound under both claim orders."""
    ids = [place(database, status).id for status in Status]
    (waiting,) = add(database, paths=["src/**"])
    depend(database, waiting, *ids)
    assert is_sound(database)
    rule(database, order="critical_path")
    found = database.read_now(audit)
    assert (found.features, found.unsound, found.failed_checks) == (7, [], [])
    (lease,) = found.leases
    assert (lease.feature, lease.holder) == (ids[1], f"ada-{ids[1]}")
    assert [one["library"] for one in found.writers] == [database._connections.engine.library]


def _wrong_counter(database: Database) -> None:
    alter(database, 2, unmet_dependencies=5)


def _wrong_height(database: Database) -> None:
    alter(database, 1, height=9)


def _missing_area(database: Database) -> None:
    _run(database, lambda project: delete(areas).where(areas.c.project_id == project, _SRC))


def _foreign_area(database: Database) -> None:
    _run(
        database,
        lambda project: insert(areas).values(project_id=project, feature_id=1, beginning="docs/", ending=""),
    )


def _other_area(database: Database) -> None:
    _run(
        database,
        lambda project: update(areas).where(areas.c.project_id == project, _SRC).values(beginning="lib/"),
    )


def _other_paths(database: Database) -> None:
    alter(database, 2, paths=["docs"])


def _other_name(database: Database) -> None:
    alter(database, 2, name="renamed by hand")


def _other_search_text(database: Database) -> None:
    alter(database, 2, search_text="")


def _wrong_state(database: Database) -> None:
    alter(database, 2, status="stuck")


def _lost_dependency(database: Database) -> None:
    _run(database, lambda project: _edges_of(project, 2))
    alter(database, 2, unmet_dependencies=0)


def _edges_of(project: int, feature: int) -> Executable:
    return delete(dependencies).where(dependencies.c.project_id == project, dependencies.c.feature_id == feature)


def _foreign_dependency(database: Database) -> None:
    _run(
        database,
        lambda project: insert(dependencies).values(project_id=project, feature_id=2, dependency_id=3),
    )


def _gap(database: Database) -> None:
    _run(
        database,
        lambda project: (
            update(events).where(events.c.project_id == project, events.c.kind == "claim").values(from_status="stuck")
        ),
    )


def _other_holder(database: Database) -> None:
    alter(database, 1, claimed_by="eve")


def _wrong_recheck(database: Database) -> None:
    alter(database, 3, recheck_since=1.0)


def _run(database: Database, statement: Callable[[int], Executable]) -> None:
    database.write_now(lambda tx: tx.run(statement(tx.project.id)))


@pytest.mark.parametrize(
    ("plant", "field", "check", "finding"),
    [
        (
            _wrong_counter,
            "counters",
            "counters",
            "feature 2: the row says 5 unmet dependencies, the edges and open questions say 1",
        ),
        (_wrong_height, "heights", "heights", "feature 1: the row says height 9, the edges say None"),
        (_missing_area, "areas", "areas", "feature 2: its 1 file areas are not the 2 areas of its paths"),
        (_foreign_area, "areas", "areas", "feature 1: its 1 file areas are not the 0 areas of its paths"),
        (_other_area, "areas", "areas", "feature 2: its 2 file areas are not the 2 areas of its paths"),
        (_other_paths, "areas", "areas", "feature 2: its 2 file areas are not the 1 areas of its paths"),
        (
            _other_name,
            "names",
            "names",
            "feature 2: the row says name digest {digest}, its names say {other}, or its search text differs",
        ),
        (
            _other_search_text,
            "names",
            "names",
            "feature 2: the row says name digest {digest}, its names say {digest}, or its search text differs",
        ),
        (_wrong_state, "states", "journal", "feature 2: the row says stuck, the events say pending"),
        (_lost_dependency, "dependencies", "dependencies", "feature 2: it depends on [], the events say [1]"),
        (_foreign_dependency, "dependencies", "dependencies", "feature 2: it depends on [1, 3], the events say [1]"),
        (
            _gap,
            "gaps",
            "journal",
            "feature 1: a claim starts in stuck, but the event before it ended in pending",
        ),
        (
            _wrong_recheck,
            "rechecks",
            "rechecks",
            "feature 3: it awaits a recheck, the events say otherwise",
        ),
        (_other_holder, "claims", "claims", "feature 1: eve holds it, but ada made its last claim"),
    ],
)
def test_each_planted_difference_is_found_and_no_other(
    database: Database, plant: Callable[[Database], None], field: str, check: str, finding: str
) -> None:
    """One value that was changed without Dibs is one finding, in its own field and check."""
    one, two = *add(database), *add(database, paths=["src/**", "README.md"])
    depend(database, two, one)
    take(database, named("ada"), one)
    database.write_now(lambda tx: import_features(tx, [imported("passing", status=Status.PASSING)]))
    assert is_sound(database)
    plant(database)
    found = database.read_now(audit)
    digests = {"digest": name_digest("core", "a feature"), "other": name_digest("core", "renamed by hand")}
    assert (found.unsound, found.failed_checks) == ([finding.format(**digests)], [check])
    assert [name for name in compared() if getattr(found, name)] == [field]


def test_every_field_of_an_audit_has_a_planted_difference() -> None:
    """Every field of the audit is in the table above."""
    marks = test_each_planted_difference_is_found_and_no_other.pytestmark  # type: ignore[attr-defined]  # set by pytest
    assert {case[1] for case in marks[0].args[1]} == compared()


def compared() -> set[str]:
    """Return the fields of an audit that hold differences."""
    return {one.name for one in fields(Audit)} - NOT_COMPARED


@pytest.mark.parametrize(
    ("columns", "status"),
    [("claim_session = 's'", "pending"), ("status = 'in_progress'", "in_progress")],
)
def test_claim_columns_that_do_not_fit_the_status_are_found(db: str, engine: str, columns: str, status: str) -> None:
    """The table's constraint forbids them, so that only a damaged or changed database can hold them."""
    database = open_database(Settings(db=db, project="default"))
    try:
        (feature,) = add(database)
        with connected(db) as connection:
            connection.execute(
                "PRAGMA ignore_check_constraints = ON"
                if engine == "sqlite"
                else "ALTER TABLE features DROP CONSTRAINT features_claim"
            )
            connection.execute(f"UPDATE features SET {columns}")
        wrong = f"the claim columns do not fit the status {status}"
        assert database.read_now(audit).claims == {feature: wrong}
    finally:
        database.close(patience=5)


def test_a_wrong_height_is_found_in_either_order(database: Database) -> None:
    """Heights are stored under `critical_path`, and not under `priority`."""
    one, two = add(database, 2)
    depend(database, two, one)
    alter(database, one, height=9)
    assert database.read_now(audit).heights == {one: (9, None)}
    assert database.write_now(lambda tx: repair_counters(tx, "me")).heights == {one: (9, None)}
    assert database.read_now(audit).heights == {}
    alter(database, one, height=9)
    rule(database, order="critical_path")
    assert is_sound(database)
    alter(database, one, height=9)
    assert database.read_now(audit).heights == {one: (9, 1)}


def _created(database: Database) -> list[int]:
    """Create a feature, one that depends on it, and an import of both kinds; return those that have a dependency."""
    (one,) = add(database)
    (two,) = add(database, dependencies=[one])
    batch = [imported("base"), imported("above", dependencies=["base"])]
    added = database.write_now(lambda tx: import_features(tx, batch))
    assert added.last_id is not None
    return [two, added.last_id]


def test_the_events_tell_the_dependencies_given_at_creation(database: Database) -> None:
    """Creation events name all dependencies, also none, so that one that is lost without an event is found."""
    depending = _created(database)
    told = [event["detail"]["depends_on"] for event in journal(database) if event["kind"] == Kind.CREATE]
    assert told == [[], [depending[0] - 1], [], [depending[1] - 1]]
    assert is_sound(database)
    for one in depending:
        _run(database, partial(_edges_of, feature=one))
        alter(database, one, unmet_dependencies=0)
    found = database.read_now(audit)
    assert found.dependencies == {one: ([], [one - 1]) for one in depending}
    assert found.failed_checks == ["dependencies"]


def test_of_an_older_creation_event_only_later_changes_are_replayed(database: Database) -> None:
    """A backlog whose creation events have no dependencies is sound; one that an event has changed is compared."""
    first, second = _created(database)
    (third,) = add(database, dependencies=[first])
    depend(database, third, second)
    _run(
        database,
        lambda project: (
            update(events).where(events.c.project_id == project, events.c.kind == "create").values(detail=None)
        ),
    )
    assert is_sound(database)
    for one in (first, third):
        _run(database, partial(_edges_of, feature=one))
        alter(database, one, unmet_dependencies=0)
    assert database.read_now(audit).dependencies == {third: ([], [second])}
    _run(
        database,
        lambda project: insert(dependencies).values(project_id=project, feature_id=third, dependency_id=first),
    )
    alter(database, third, unmet_dependencies=1)
    assert database.read_now(audit).dependencies == {third: ([first], [second])}
