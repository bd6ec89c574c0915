"""The audit finds every counter, height and state that is not as the edges and events have it."""

from __future__ import annotations

from dibs.database import Database
from dibs.queries.audit import audit
from dibs.verbs.repair import repair_counters
from dibs_schema.status import Status
from verbs.stage import add, alter, depend, is_sound, place, rule


def test_a_sound_backlog_passes(database: Database) -> None:
    """A backlog with features in every state, edges between them and both orders is found sound."""
    ids = [place(database, status).id for status in Status]
    (waiting,) = add(database)
    depend(database, waiting, *ids)
    assert is_sound(database)
    rule(database, order="critical_path")
    found = database.read_now(audit)
    assert (found.features, found.unmet, found.heights, found.strays) == (7, {}, {}, {})
    (lease,) = found.leases
    assert (lease.feature, lease.holder) == (ids[1], f"ada-{ids[1]}")
    assert [one["library"] for one in found.writers] == [database.library]


def test_a_wrong_counter_is_found(database: Database) -> None:
    """What is kept and what was counted stand side by side."""
    one, two = add(database, 2)
    depend(database, two, one)
    alter(database, two, unmet_dependencies=5)
    assert database.read_now(audit).unmet == {two: (5, 1)}


def test_a_wrong_height_is_found_in_either_order(database: Database) -> None:
    """Heights are counted under `critical_path`, and none is kept by priority."""
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


def test_a_state_without_its_event_is_found(database: Database) -> None:
    """A status that the journal does not lead to is a stray."""
    (one,) = add(database)
    alter(database, one, status="stuck")
    assert database.read_now(audit).strays == {one: ("stuck", "pending")}
