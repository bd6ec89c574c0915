"""The overview: what needs a person, who works on what, since when, and how fast the project goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import insert, update

from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.queries import pass_rate
from dibs.queries.overview import ROOM, SHOWN, get_overview
from dibs.queries.queue_state import counts
from dibs.queries.stats import get_stats
from dibs.rules.conditions import in_project
from dibs.rules.truncate import json_bytes
from dibs.verbs import claim, lease, outcome
from dibs_schema.answers import Overview
from dibs_schema.status import Kind, Status
from dibs_schema.tables import events, features
from verbs.stage import add, age, alter, ask_question, depend, expire, finish, named, place, rule, take

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def look(database: Database) -> Overview:
    """Return the overview."""
    return database.read_now(lambda tx: get_overview(tx, database.label))


def ago(overview: Overview, at: datetime) -> float:
    """Return the seconds between a time in an overview and its moment, to a minute: a loaded machine is slow."""
    return MINUTE * round((overview.at - at).total_seconds() / MINUTE)


def longest(overview: Overview) -> dict[str, tuple[int, float]]:
    """Return by state the feature that has been there longest, and for how many seconds."""
    return {one.state: (one.id, ago(overview, one.since)) for one in overview.oldest}


def test_an_empty_project_has_an_empty_overview(database: Database) -> None:
    """It says which project and database it is about, when, and nothing more."""
    overview = look(database)
    assert overview.wire().keys() == {"at", "project", "database", "counts", "total", "percent_passing"}
    assert overview.database == database.label
    assert abs((datetime.now(UTC) - overview.at).total_seconds()) < MINUTE


def test_counts_are_those_of_the_statistics(database: Database) -> None:
    """The overview and the statistics count the same."""
    for status in Status:
        place(database, status)
    overview, stats = look(database), database.read_now(lambda tx: get_stats(tx, database.label))
    assert (overview.counts, overview.total, overview.percent_passing) == (
        stats.counts,
        stats.total,
        stats.percent_passing,
    )


def test_a_claim_shows_its_holder_and_its_signs_of_life(database: Database) -> None:
    """Since when it is held, when the holder called last, and when its connection renewed the lease."""
    held = place(database, Status.IN_PROGRESS, name="Sign in")
    assert held.token is not None
    age(database, 20 * MINUTE)
    (one,) = (overview := look(database)).claims
    assert (one.id, one.name, one.agent, one.client) == (held.id, "Sign in", held.holder.name, None)
    assert (ago(overview, one.claimed_at), ago(overview, one.last_call_at)) == (20 * MINUTE, 20 * MINUTE)
    assert ago(overview, one.last_sign_at) == 0, "its lease began just now"
    assert one.renewed
    assert 100 < one.lease_seconds <= 120
    database.write_now(lambda tx: lease.heartbeat(tx, held.id, held.token))
    (one,) = (overview := look(database)).claims
    assert (ago(overview, one.claimed_at), ago(overview, one.last_call_at)) == (20 * MINUTE, 0)


def test_a_claim_that_nothing_renews_says_so(database: Database) -> None:
    """A holder without a connection, and one whose connection no longer renews, are not shown as alive."""
    (alone, silent) = add(database, 2)
    take(database, named("shell", lease=1800), alone)
    take(database, named("ada", session="gone"), silent)
    expire(database, silent)
    by_id = {one.id: one for one in look(database).claims}
    assert (by_id[alone].renewed, by_id[silent].renewed) == (False, False)
    assert 1700 < by_id[alone].lease_seconds <= 1800
    assert by_id[silent].lease_seconds == 0


def test_the_program_of_a_holder_without_a_name_is_shown(database: Database) -> None:
    """It is part of such a holder's name."""
    (feature,) = add(database)
    take(database, named("claude-code-3da5 in wt-ann", session="3da5"), feature)
    assert look(database).claims[0].client == "claude-code"


def test_the_program_of_a_named_holder_is_the_one_that_began_its_claim(database: Database) -> None:
    """The claim names it, and a resume from another program names that one."""
    (feature,) = add(database)
    take(database, replace(named("ada", session="gone"), client="codex"), feature)
    assert look(database).claims[0].client == "codex"
    expire(database, feature)
    other = replace(named("ada", session="here"), client="claude-code")
    database.write_now(lambda tx: claim.claim(tx, other, feature, resume=True))
    assert look(database).claims[0].client == "claude-code"


def test_open_questions_come_oldest_first_with_what_waits(database: Database) -> None:
    """Requests about features and questions to the user are one list."""
    waiting = add(database, 2)
    question = ask_question(database, *waiting, by="grace")
    age(database, HOUR)
    asked = place(database, Status.NEEDS_HUMAN, name="Colours")
    age(database, MINUTE)
    first, second = (overview := look(database)).questions
    assert (first.question_id, first.features, first.asked_by, first.prompt) == (
        question,
        waiting,
        "grace",
        "Which port?",
    )
    assert ago(overview, first.asked_at) == HOUR + MINUTE
    assert (second.id, second.name, second.asked_by, second.prompt) == (
        asked.id,
        "Colours",
        asked.holder.name,
        "Please decide.",
    )
    assert ago(overview, second.asked_at) == MINUTE
    assert longest(overview)["needs_human"] == (asked.id, MINUTE)


def _fail(database: Database, feature: int, reason: str) -> None:
    token = take(database, named("ada"), feature).claim.token
    database.write_now(lambda tx: outcome.mark_failing(tx, "ada", feature, reason, token))
    alter(database, feature, not_before=None)


def test_a_stuck_feature_says_why(database: Database) -> None:
    """The reason is what made it stuck, and the last failure is what was reported."""
    skipped = place(database, Status.STUCK)
    same, other = add(database, 2)
    for number in range(3):
        _fail(database, same, "port 80 is in use")
        _fail(database, other, f"{'abc'[number]} is missing")
    age(database, 2 * HOUR)
    overview = look(database)
    by_id = {one.id: one for one in overview.stuck}
    assert by_id[skipped.id].reason == "skipped 3 times, last because: cannot be built yet"
    assert {by_id[same].reason, by_id[other].reason} == {"failed 3 times in 3 attempts"}
    assert by_id[same].last_failure == "The same reason 3 times in a row: port 80 is in use"
    assert by_id[other].last_failure == "c is missing"
    assert {ago(overview, one.since) for one in overview.stuck} == {2 * HOUR}


def test_passes_that_wait_for_another_agent_are_listed(database: Database) -> None:
    """Those that wait for confirmation, if the project asks for it, and those that await a recheck."""
    rule(database, verifier="other")
    base, dependent = add(database, 2)
    finish(database, base)
    depend(database, dependent, base)
    finish(database, dependent)
    age(database, 10 * MINUTE)
    database.write_now(lambda tx: outcome.mark_failing(tx, "tess", base, "it broke"))
    overview = look(database)
    assert [(one.id, one.passed_by, ago(overview, one.since)) for one in overview.unconfirmed] == [
        (dependent, f"ada-{dependent}", 10 * MINUTE)
    ]
    assert [(one.id, ago(overview, one.since)) for one in overview.to_recheck] == [(dependent, 0)]


def test_claims_that_expired_in_the_last_hour_are_listed(database: Database) -> None:
    """An hour later they are not; the holder is the one that lost the claim."""
    held = place(database, Status.IN_PROGRESS, name="Sign in")
    expire(database, held.id)
    database.write_now(lease.reap)
    age(database, 50 * MINUTE)
    (one,) = (overview := look(database)).expired
    assert (one.id, one.name, one.agent, ago(overview, one.at)) == (held.id, "Sign in", held.holder.name, 50 * MINUTE)
    age(database, 11 * MINUTE)
    assert look(database).expired == []


def test_a_feature_is_ready_since_its_last_hindrance_ended(database: Database) -> None:
    """Created, returned to the queue, freed by a dependency, or by the end of a back-off, whichever is the latest."""
    base, dependent = add(database, 2)
    depend(database, dependent, base)
    age(database, HOUR)
    assert longest(look(database)) == {"ready": (base, HOUR), "waiting": (dependent, HOUR)}
    finish(database, base)
    age(database, 10 * MINUTE)
    assert longest(look(database)) == {"ready": (dependent, 10 * MINUTE)}
    alter(database, dependent, not_before=look(database).at.timestamp() - MINUTE)
    assert longest(look(database)) == {"ready": (dependent, MINUTE)}
    alter(database, dependent, not_before=None)
    token = take(database, named("ada"), dependent).claim.token
    age(database, 5 * MINUTE)
    assert longest(look(database)) == {"in_progress": (dependent, 5 * MINUTE)}
    database.write_now(lambda tx: outcome.mark_failing(tx, "ada", dependent, "no", token))
    alter(database, dependent, not_before=None)
    assert longest(look(database)) == {"ready": (dependent, 0)}


def _passes(database: Database, count: int, *, every: float, kind: Kind = Kind.PASS) -> None:
    """Let passes be recorded, the latest now and the others at equal distances before."""

    def record(tx: Transaction) -> None:
        common = {"project_id": tx.project.id, "feature_id": None, "agent": "ada", "kind": kind.value, "xact": 0}
        rows = [{**common, "at": tx.now - every * number} for number in range(count)][::-1]
        tx.connection.execute(insert(events), rows)

    database.write_now(record)


def test_the_end_is_estimated_from_ten_passes_on(database: Database) -> None:
    """At the rate of the last hour, or else of the last day; the estimate says what it assumes."""
    add(database, 30)
    _passes(database, 9, every=5 * MINUTE)
    assert look(database).estimate is None
    _passes(database, 1, every=1)
    overview = look(database)
    assert (overview.passed_last_hour, overview.passed_last_day) == (10, 10)
    assert overview.estimate is not None
    assert overview.estimate.left == 30
    assert -ago(overview, overview.estimate.ends_at) == 30 * 40 * MINUTE / 10
    assert "all 30 pass at the rate of the last hour (10 in 40 min)" in overview.estimate.assumes
    age(database, 10 * HOUR)
    overview = look(database)
    assert (overview.passed_last_hour, overview.passed_last_day) == (0, 10)
    assert overview.estimate is not None
    assert "the last day (10 in 640 min)" in overview.estimate.assumes
    age(database, DAY)
    assert (look(database).passed_last_day, look(database).estimate) == (0, None)


def test_counts_of_many_events_say_since_when(database: Database) -> None:
    """Only the newest events are read; the counts name the time to which these reach back."""
    _passes(database, pass_rate.NEWEST + 5, every=1)
    overview = look(database)
    assert overview.counted_since is not None
    assert abs(ago(overview, overview.counted_since) - pass_rate.NEWEST) <= MINUTE
    assert HOUR - MINUTE < overview.passed_last_hour <= HOUR
    assert overview.passed_last_day == pass_rate.NEWEST


def test_lists_are_short_and_count_the_rest(database: Database) -> None:
    """With the longest names and texts the answer still has room for every list, and says how much is missing."""
    rule(database, verifier="other", max_claims=30)
    name = "ö" * 255
    for number in range(SHOWN + 2):
        for status in (Status.NEEDS_HUMAN, Status.STUCK, Status.IN_PROGRESS, Status.PASSING):
            place(database, status, name=f"{name[:-4]}{number}", category=f"{status}")
    overview = look(database)
    for listed in ("questions", "stuck", "claims", "unconfirmed"):
        shown, more = getattr(overview, listed), getattr(overview, f"more_{listed}")
        assert 3 <= len(shown) <= SHOWN
        assert len(shown) + more == SHOWN + 2
        assert json_bytes([one.wire() for one in shown]) <= ROOM + 2
    assert json_bytes(overview.wire()) <= 10_000


def _steps(database: Database, query: Callable[[Transaction], object]) -> int:
    """Return how many instructions of SQLite's machine a query takes, in hundreds."""

    def counted(tx: Transaction) -> int:
        query(tx)  # statements are prepared at their first execution
        driver: Any = tx.connection.connection.dbapi_connection
        ticks = 0

        def tick() -> int:
            nonlocal ticks
            ticks += 1
            return 0

        driver.set_progress_handler(tick, 100)
        try:
            query(tx)
        finally:
            driver.set_progress_handler(None, 0)
        return ticks

    return database.read_now(counted)


@pytest.mark.only_on("sqlite", reason="it counts this engine's instructions")
def test_the_lists_of_a_large_project_cost_no_more_than_those_of_a_small_one(database: Database) -> None:
    """Beyond the counts, the overview reads a bounded number of rows: five times the features cost the same."""

    def grow(size: int) -> int:
        while database.read_now(counts).pending < size:
            waiting = add(database, 500) and add(database, 500)[0]
            later = in_project() & (features.c.id >= waiting)
            blocked = update(features).where(later).values(unmet_dependencies=1)
            database.write_now(partial(Transaction.run, statement=blocked))
        return _steps(database, lambda tx: get_overview(tx, "")) - _steps(database, counts)

    _passes(database, pass_rate.NEWEST, every=1)
    small = grow(2_000)
    assert grow(10_000) <= 1.1 * small
