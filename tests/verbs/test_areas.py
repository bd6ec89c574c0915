"""A feature is not claimed while a live claim has overlapping files, and answers report that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete

from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.queries import get, queue_state, search
from dibs.queries.audit import audit
from dibs.queries.stats import get_stats
from dibs.rules.claimable import FIRST_PAGE
from dibs.verbs import ask_person, claim, lease, outcome, skip, update
from dibs.verbs.claim_in_one_statement import claim_in_one_statement
from dibs.verbs.release import release
from dibs.verbs.repair import repair_counters
from dibs_schema.answers import Claimed, Idle
from dibs_schema.refusals import NotReady
from dibs_schema.tables import areas
from verbs.stage import REQUEST, add, alter, expire, journal, named, nameless, new, refused, row, rule, take


def next_for(database: Database, name: str, **asked: Any) -> int | str:
    """Return the feature that the next claim gets, or the idle state."""
    answer = database.write_now(lambda tx: claim.claim(tx, named(name), **asked))
    return answer.feature.id if isinstance(answer, Claimed) else answer.state


def set_paths(database: Database, feature: int, *paths: str) -> None:
    """Change a feature's paths as a planner does."""
    database.write_now(lambda tx: update.change(tx, "planner", feature, {"paths": list(paths)}))


@pytest.mark.parametrize("order", ["priority", "critical_path"])
def test_the_next_feature_is_one_that_meets_no_live_claim(database: Database, order: str) -> None:
    """A claim gets the first feature whose files overlap with no live claim, in either claim order."""
    rule(database, order=order)
    (one,) = add(database, paths=["src/**"])
    add(database, 2, paths=["src/app/*.py", "docs"])
    (free,) = add(database, paths=["tests/**"])
    (anywhere,) = add(database)
    got = [next_for(database, name) for name in ("ada", "grace", "alan", "edsger")]
    assert got == [one, free, anywhere, "waiting_for_claims"]


def test_each_of_a_features_paths_counts(database: Database) -> None:
    """One path in common is enough, whichever it is."""
    (one,) = add(database, paths=["a", "b/*.py", "c"])
    others = [add(database, paths=paths)[0] for paths in (["x", "c/d"], ["b/z.py"], ["b/*.md"])]
    assert [next_for(database, name) for name in ("ada", "grace")] == [one, others[2]]


def test_the_first_free_feature_is_found_behind_any_number_of_others(database: Database) -> None:
    """The queue is read in pages, whose ends may be in the middle of a feature's areas, and in the order of the queue."""
    add(database, paths=["src/**"])
    add(database, 2 * FIRST_PAGE - 1, paths=["src/a.py"])
    wide = add(database, 2, paths=[f"{part}/**" for part in "abcdefghij"] + ["s*"])  # no area of theirs is in `src/`
    last, urgent = *add(database, paths=["t"]), *add(database, paths=["u"])
    alter(database, urgent, priority=0)
    assert [next_for(database, name) for name in ("ada", "grace", "alan")] == [urgent, 1, last]
    set_paths(database, wide[1], "x/**", *(f"{part}/**" for part in "abcdefghij"))
    assert [next_for(database, name) for name in ("edsger", "barbara")] == [wide[1], "waiting_for_claims"]


def steps_under_lock(database: Database, name: str) -> int:
    """Return how many steps of SQLite's virtual machine, in tens, a claim of the next feature takes under the lock."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    def verb(tx: Transaction) -> Any:
        driver: Any = tx.connection.connection.dbapi_connection
        driver.set_progress_handler(count, 10)
        try:
            return claim.claim(tx, named(name))
        finally:
            driver.set_progress_handler(None, 0)

    assert isinstance(database.write_now(verb), Claimed)
    return steps


@pytest.mark.only_on("sqlite", reason="it counts the steps of this engine's virtual machine")
def test_features_that_wait_for_files_are_passed_over_without_the_lock(database: Database) -> None:
    """The work under the lock does not grow with the number of features ahead that wait for files."""
    (one,) = add(database, paths=["src/**"])
    add(database, 10, paths=["src/a.py"])
    first, second = add(database, 2)
    assert next_for(database, "ada") == one
    few = steps_under_lock(database, "grace")
    assert row(database, first)["status"] == "in_progress"
    add(database, 400, paths=["src/b.py"])
    alter(database, second, priority=10_000)
    assert steps_under_lock(database, "alan") < 1.5 * few
    assert row(database, second)["status"] == "in_progress"


def test_a_feature_without_paths_neither_waits_nor_keeps_others(database: Database) -> None:
    """A feature without paths is never held back."""
    add(database)
    add(database, paths=["**"])
    add(database)
    assert [next_for(database, name) for name in ("ada", "grace", "alan")] == [1, 2, 3]


def test_a_claim_by_id_names_who_has_the_files(database: Database) -> None:
    """The refusal of a held-back feature has the other feature, its holder and the next step."""
    one, two = *add(database, paths=["src"]), *add(database, paths=["src/a.py"])
    take(database, named("ada"), one)
    refusal = refused(database, NotReady, lambda tx: claim.mark_in_progress(tx, named("grace"), two))
    assert refusal.details == {"id": two, "held_by": one, "holder": "ada"}
    assert [step.operation for step in refusal.next] == ["feature_claim_and_get"]


def test_who_holds_a_claim_may_resume_it_whatever_else_is_live(database: Database) -> None:
    """New paths do not affect live claims."""
    one, two = add(database, 2)
    take(database, named("ada"), one)
    take(database, named("grace"), two)
    for feature in (one, two):
        set_paths(database, feature, "src/**")
    assert take(database, named("grace"), resume=True).feature.id == two


def _pass(tx: Any, one: int, token: str) -> object:
    return outcome.mark_passing(tx, "ada", one, token)


def _expire(tx: Any, _one: int, _token: str) -> object:
    return lease.reap(tx)


ENDS: dict[str, Callable[[Any, int, str], object]] = {
    "pass": _pass,
    "fail": lambda tx, one, token: outcome.mark_failing(tx, "ada", one, "broken", token),
    "skip": lambda tx, one, token: skip.skip(tx, "ada", one, "later", token),
    "release": lambda tx, one, token: release(tx, "ada", one, token),
    "force": lambda tx, one, _: release(tx, "planner", one, None, force=True),
    "ask": lambda tx, one, token: ask_person.request_human_input(tx, "ada", one, token, REQUEST),
    "expire": _expire,
    "the end of a connection": lambda tx, _one, _token: lease.release_session(tx, "here"),
    "cleared paths": lambda tx, one, _: update.change(tx, "planner", one, {"paths": []}),
}


@pytest.mark.parametrize("stuck", [False, True], ids=["", "for good"])
@pytest.mark.parametrize("end", ENDS)
def test_however_a_claim_ends_its_files_are_free_and_who_waits_is_woken(
    database: Database, end: str, *, stuck: bool
) -> None:
    """Each end of a claim with paths wakes waiting claims."""
    if stuck:
        rule(database, max_failures=1, max_attempts=1, max_skips=1)
    one, two = *add(database, paths=["src"]), *add(database, paths=["src/a"])
    add(database)
    token = take(database, named("ada", session="here"), one).claim.token
    take(database, named("alan"))  # so that other files stay occupied when this claim ends
    if end == "expire":
        expire(database, one)
    woken: list[bool] = []

    def verb(tx: Any) -> None:
        ENDS[end](tx, one, token)
        woken.append(tx.wakes)

    assert next_for(database, "grace", category="core") == "waiting_for_claims"
    database.write_now(verb)
    assert woken == [True]
    alter(database, one, priority=99)
    assert next_for(database, "grace") == two


def test_what_is_held_back_is_pending_and_not_ready(database: Database) -> None:
    """Counts, lists and statistics agree with the next claim."""
    (one,) = add(database, paths=["src"])
    held = add(database, 2, paths=["src/a"], category="other")
    (free,) = add(database)
    take(database, named("ada"), one)
    there = database.read_now(queue_state.counts)
    assert (there.ready, there.held_back, there.pending, there.in_progress) == (1, 2, 3, 1)
    ready = database.read_now(search.get_ready)
    assert ([row.id for row in ready.features], ready.total) == ([free], 1)
    blocked = database.read_now(search.get_blocked)
    assert [(row.id, row.held_by, row.agent) for row in blocked.features] == [(two, one, "ada") for two in held]
    assert blocked.total == 2
    stats = database.read_now(lambda tx: get_stats(tx, "here", "category"))
    assert stats.total == 4
    assert {group.name: (group.counts.ready, group.counts.held_back) for group in stats.groups} == {
        "core": (1, 0),
        "other": (0, 2),
    }


def test_a_category_that_another_one_holds_back_waits_for_claims(database: Database) -> None:
    """If a claim in another category has the files, the answer is to wait for claims, with a time."""
    (one,) = add(database, paths=["src"])
    add(database, paths=["src/a"], category="other")
    take(database, named("ada", lease=40), one)
    answer = database.write_now(lambda tx: claim.claim(tx, named("grace"), category="other"))
    assert isinstance(answer, Idle)
    assert answer.state == "waiting_for_claims"
    assert 30 <= (answer.retry_after_seconds or 0) <= 40
    assert [step.operation for step in answer.next] == ["feature_claim_and_get", "feature_get_blocked"]


def test_what_else_keeps_a_feature_is_told_without_its_files(database: Database) -> None:
    """A feature that waits for another, or backs off, is listed for that."""
    one, needed = *add(database, paths=["src"]), *add(database)
    (waiting,) = add(database, paths=["src"], dependencies=[needed])
    take(database, named("ada"), one)
    rows = database.read_now(search.get_blocked).features
    assert [(row.id, row.blocked_by, row.held_by) for row in rows] == [(waiting, [needed], None)]


def test_paths_are_shown_with_the_feature(database: Database) -> None:
    """A claim, a read of the feature and a full list return its paths. Without paths the field is absent."""
    (one,), (two,) = add(database, paths=["./src//a", "b/*/", "src/a"]), add(database)
    taken = take(database, named("ada"), one).feature
    assert taken.paths == ["src/a", "b/*/**"]
    assert database.read_now(lambda tx: get.get_by_id(tx, one)).paths == taken.paths
    rows = database.read_now(lambda tx: search.search(tx, detail="full")).features
    assert [row.paths for row in rows] == [taken.paths, []]
    assert "paths" not in take(database, named("grace"), two).wire()["feature"]


def test_paths_can_be_changed_at_any_time(database: Database) -> None:
    """New paths count from the next claim on, and one event says that they were changed."""
    one, two = *add(database, paths=["src"]), *add(database, paths=["docs"])
    take(database, named("ada"), one)
    set_paths(database, two, "src/a")
    assert next_for(database, "grace") == "waiting_for_claims"
    set_paths(database, two)
    assert next_for(database, "grace") == two
    assert [event["detail"] for event in journal(database, two) if event["kind"] == "update"] == [
        {"fields": ["paths"]}
    ] * 2


@pytest.mark.only_on("postgresql", reason="with one writer at a time, no two claims are concurrent")
def test_a_claim_beside_others_leaves_features_with_paths_to_one_behind_the_lock(database: Database) -> None:
    """A claim in one statement cannot see concurrent claims, so it takes no feature with paths and skips none."""
    add(database, paths=["src"])
    add(database)

    def alone(tx: Any) -> Claimed | None:
        return claim_in_one_statement(tx, nameless("some connection"))

    assert database.write_now(alone) is None
    set_paths(database, 1)
    got = database.write_now(alone)
    assert got is not None
    assert got.feature.id == 1


def test_areas_that_do_not_fit_the_paths_are_found_and_repaired(database: Database) -> None:
    """An audit finds missing file areas, and a repair rebuilds them."""
    one, two = *add(database, paths=["src"]), *add(database, paths=["src/a", "b"])
    mine = areas.c.project_id == database.read_now(lambda tx: tx.project.id)
    database.write_now(lambda tx: tx.run(delete(areas).where(mine, areas.c.feature_id == two)))
    found = database.read_now(audit)
    assert (found.areas, found.failed_checks) == ({two: (0, 2)}, ["areas"])
    assert database.write_now(lambda tx: repair_counters(tx, "a person")).areas == {two: (0, 2)}
    assert not database.read_now(audit).unsound
    take(database, named("ada"), one)
    assert next_for(database, "grace") == "waiting_for_claims"


def test_a_feature_of_the_longest_paths_is_created(database: Database) -> None:
    """A feature can have twenty paths with the greatest total length."""
    paths = [f"{number:02}{'é' * 93}" for number in range(20)]
    assert take(database, named("ada"), *add(database, paths=paths)).feature.paths == paths
    with pytest.raises(ValueError, match="2,000 characters in total"):
        new(paths=[f"{path}{'é' * 10}" for path in paths])
