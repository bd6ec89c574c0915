"""A project that is copied is the same project, on every pair of engines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from sqlalchemy import select

from dibs.database import Database
from dibs.verbs import outcome
from dibs.verbs.lease import reap
from dibs_schema.status import Status
from dibs_schema.tables import writers
from races.backlog import fill, times
from transfer.copy.projects import contents, copied, generation, is_live, opened, repeat, stage
from verbs.stage import add, alter, expire, is_sound, journal, named, row, rule, take, token_of


def test_everything_is_there_with_its_ids(pair: tuple[str, str]) -> None:
    """Every row is the same, an audit finds counters and heights right, and numbers continue."""
    source, target = pair
    with opened(source) as old:
        stage(old)
        before, libraries = contents(old), _libraries(old)
    done = copied(source, target, with_claims=True)
    with opened(target) as new:
        assert contents(new) == before
        assert done.rows["features"] == len(before["features"])
        assert done.events_renumbered_by == 0
        assert libraries | {new._connections.engine.library} == _libraries(new)
        assert is_sound(new)
        last = max(event["id"] for event in before["events"])
        (following,) = add(new)
        assert following == max(feature["id"] for feature in before["features"]) + 1
        assert journal(new, following)[0]["id"] > last
        assert is_sound(new)


def _libraries(database: Database) -> set[str]:
    return {one["library"] for one in database.read_now(lambda tx: tx.all(select(writers)))}


def test_an_idempotency_key_goes_along(pair: tuple[str, str]) -> None:
    """A repeated request_id in the new database gets the first answer, and adds nothing."""
    source, target = pair
    with opened(source) as old:
        ids = repeat(old)
    copied(source, target)
    with opened(target) as new:
        assert repeat(new) == ids
        assert len(contents(new)["features"]) == 1


def test_a_live_claim_goes_on_in_the_new_place(pair: tuple[str, str]) -> None:
    """The old token works, with a new lease by the new database's clock."""
    source, target = pair
    with opened(source) as old:
        claim = stage(old)
        alter(old, claim.id, lease_expires_at=time.time() + 5)
        lease = row(old, claim.id)["lease_seconds"]
    done = copied(source, target, with_claims=True)
    assert done.claims == 1
    with opened(target) as new:
        moved = row(new, claim.id)
        clock, reading = new.write_now(lambda tx: (tx.clock, tx.reading))
        assert moved["lease_clock"] == clock
        assert lease - 30 < moved["lease_ends"] - reading <= lease
        assert lease - 30 < moved["lease_expires_at"] - time.time() <= lease + 1
        assert new.write_now(reap) == []
        assert claim.token is not None
        token = claim.token
        new.write_now(lambda tx: outcome.mark_passing(tx, claim.holder.name, claim.id, token))
        assert row(new, claim.id)["status"] == Status.PASSING
        assert is_sound(new)


def test_a_lease_runs_out_in_the_new_place_too(pair: tuple[str, str]) -> None:
    """A copied claim that is not renewed is reaped when its lease has expired, and not before."""
    source, target = pair
    with opened(source) as old:
        (feature,) = add(old)
        take(old, named("ada", lease=1.5), feature)
    copied(source, target, with_claims=True)
    with opened(target) as new:
        assert new.write_now(reap) == []
        time.sleep(1.6)
        assert new.write_now(reap) == [feature]


def test_a_lease_that_had_run_out_is_reaped_in_the_new_place(pair: tuple[str, str]) -> None:
    """An expired lease does not prevent the copy and is not renewed by it, and its token gets claim_lost."""
    source, target = pair
    with opened(source) as old:
        (feature,) = add(old)
        token_of(old, feature)
        expire(old, feature)
    copied(source, target)
    with opened(target) as new:
        assert new.write_now(reap) == [feature]
        assert is_sound(new)


def test_a_claim_of_another_boot_goes_by_the_wall_clock(new_place: Callable[[str], str]) -> None:
    """A lease by another machine's clock is converted to this machine's clock."""
    source, target = new_place("sqlite"), new_place("sqlite")
    with opened(source) as old:
        lapsed, lives = add(old, 2)
        for feature, expires in ((lapsed, time.time() - 1), (lives, time.time() + 20)):
            token_of(old, feature)
            alter(old, feature, lease_clock="another boot", lease_ends=1e12, lease_expires_at=expires)
    assert copied(source, target, with_claims=True).claims == 2
    with opened(target) as new:
        assert new.write_now(reap) == [lapsed]


def test_there_and_back_again(pair: tuple[str, str]) -> None:
    """A project can be copied back to its old database with all later changes, and can move again."""
    source, target = pair
    with opened(source) as old:
        add(old, 2)
        first = generation(old)
    for _ in range(2):
        copied(source, target)
        assert (is_live(source), is_live(target)) == (False, True)
        with opened(target) as new:
            add(new)
            there = contents(new)
        copied(target, source)
        assert (is_live(source), is_live(target)) == (True, False)
        with opened(source) as old:
            assert contents(old) == there
            assert is_sound(old)
            assert generation(old) != first
    with opened(source) as old:
        assert add(old) == [5]


def test_a_large_project_comes_back_byte_for_byte(new_place: Callable[[str], str]) -> None:
    """10,000 features (1,000 without DIBS_TEST_LONG=1) stay the same bytes from a file to a server to a file."""
    places = [new_place(engine) for engine in ("sqlite", "postgresql", "sqlite")]
    written = []
    with opened(places[0]) as first:
        stage(first)
        for _ in range(times(1, 10)):
            fill(first, 1_000, [[n - 1, n // 2] if n > 2 and n % 3 == 0 else [] for n in range(1_000)])
        written.append(written_out(first))
    for here, there in pairwise(places):
        copied(here, there, with_claims=True)
        with opened(there) as database:
            assert is_sound(database)
            written.append(written_out(database))
    assert len(written[0]) > times(1, 10) * 500_000
    assert written[0] == written[1] == written[2]


def written_out(database: Database) -> bytes:
    """Return a project as text: every row of every table."""
    return json.dumps(contents(database), sort_keys=True, ensure_ascii=False).encode()


def test_a_cold_place_and_an_empty_project_are_the_same(pair: tuple[str, str]) -> None:
    """An empty project at the target is replaced."""
    source, target = pair
    with opened(source) as old:
        add(old)
    with opened(target) as early:
        early.write_now(lambda _: None)
    copied(source, target)
    with opened(target) as new:
        assert len(contents(new)["features"]) == 1


def test_projects_of_one_database_do_not_meet(pair: tuple[str, str]) -> None:
    """A project is copied into a file with another project, under another name, and neither changes."""
    source, target = pair
    with opened(source, "web") as old:
        stage(old)
        before = contents(old)
    with opened(target, "api") as other:
        stage(other)
        neighbour = contents(other)
    done = copied(source, target, project="web", to_project="site", with_claims=True)
    with opened(target, "site") as new, opened(target, "api") as other:
        assert contents(new, done.events_renumbered_by) == before
        assert contents(other) == neighbour
        assert is_sound(new)
        assert is_sound(other)
        add(other)
        add(new)
        for each in (new, other):
            ids = [event["id"] for event in journal(each)]
            assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("engine", "moves"), [("sqlite", True), ("postgresql", False)])
def test_events_are_renumbered_only_where_their_ids_are_taken(
    new_place: Callable[[str], str], engine: str, moves: bool
) -> None:
    """In a file all projects share one sequence, so taken ids change, in order. On a server each project has its own."""
    source, target = new_place("sqlite"), new_place(engine)
    with opened(source) as old:
        add(old, 3)
        ids = [event["id"] for event in journal(old)]
    with opened(target, "other") as other:
        add(other, 2)
    by = copied(source, target).events_renumbered_by
    assert bool(by) is moves
    with opened(target) as new:
        assert [event["id"] for event in journal(new)] == [one + by for one in ids]


def test_a_rule_goes_along(pair: tuple[str, str]) -> None:
    """The copy has the project's settings."""
    source, target = pair
    with opened(source) as old:
        rule(old, max_claims=4, order="critical_path")
    copied(source, target)
    with opened(target) as new:
        project = new.read_now(lambda tx: tx.project)
        assert (project.settings.max_claims, project.settings.order) == (4, "critical_path")
