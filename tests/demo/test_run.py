"""A demo with real servers keeps every promise, and its verdict finds a database that was changed by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from demo.demo_run import DemoRun, run, small_backlog
from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs_proof.demo.plan import PROJECT
from dibs_proof.demo.verdict import Verdict, judge

pytestmark = pytest.mark.only_on("sqlite", reason="the demo makes a file of its own")

A_CLAIM_TOO_MANY = """
    INSERT INTO events (project_id, feature_id, at, agent, kind, from_status, to_status)
    SELECT project_id, feature_id, at, 'thief', 'claim', 'pending', 'in_progress' FROM events
    WHERE kind = 'claim' ORDER BY id DESC LIMIT 1
"""
A_FAILURE_FORGOTTEN = """
    UPDATE events SET kind = 'note' WHERE id = (SELECT max(id) FROM events WHERE kind = 'fail')
"""
A_PASS_DELETED = "DELETE FROM events WHERE id = (SELECT max(id) FROM events WHERE kind = 'pass')"
A_DEPENDENCY_OVERLOOKED = """
    UPDATE events SET detail = '{"depends_on": [' ||
        (SELECT feature_id FROM events WHERE kind = 'pass' ORDER BY id DESC LIMIT 1) || ']}'
    WHERE kind = 'create' AND feature_id = (SELECT feature_id FROM events WHERE kind = 'claim' ORDER BY id LIMIT 1)
"""


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """One demo with three agents, run once for all the tests of this module."""
    folder = tmp_path_factory.mktemp("demo")
    return run(folder, small_backlog(folder))


@pytest.fixture
def database(demo_run: DemoRun, tmp_path: Path) -> Iterator[Database]:
    """A copy of the demo's database, which no server has open."""
    for suffix in ("", "-wal"):
        source = Path(f"{demo_run.db}{suffix}")
        if source.exists():
            shutil.copy(source, tmp_path / f"copy.db{suffix}")
    opened = open_database(Settings(db=str(tmp_path / "copy.db"), project=PROJECT))
    yield opened
    opened.close(5)


def change(database: Database, statement: str) -> None:
    """Change the database without Dibs."""
    database.write_now(lambda tx: tx.connection.execute(text(statement)).rowcount)


def broken(verdict: Verdict) -> set[str]:
    """Return the names of the promises that did not hold."""
    return {one.name for one in verdict.findings if not one.holds}


def test_every_promise_is_kept_and_none_is_empty(demo_run: DemoRun, database: Database) -> None:
    """Real servers drain the backlog, and each check had at least one case."""
    verdict = judge(database, demo_run.backlog, demo_run.seen)
    assert broken(verdict) == set()
    assert verdict.holds
    assert all(one.checked for one in verdict.findings)


def test_the_figures_say_what_happened(demo_run: DemoRun, database: Database) -> None:
    """Fourteen features were open; each outcome occurred, one agent was killed, and its three late calls were refused."""
    figures = judge(database, demo_run.backlog, demo_run.seen).figures
    assert (figures.features, figures.passed) == (16, 14)
    assert (figures.double_claims, figures.lost_acknowledgements) == (0, 0)
    assert figures.take_overs >= 1
    assert min(figures.failed, figures.skipped, figures.asked) >= 1
    assert figures.claims >= figures.passed + figures.failed + figures.skipped + figures.asked + 1
    assert figures.refusals["claim_lost"] >= 3
    assert figures.refusals["already_claimed"] >= 2


def test_the_screen_shows_the_kill_and_the_take_over(demo_run: DemoRun) -> None:
    """The race, the kill, the take-over and the refusal have one line each, in that order."""
    words = ("RACE", "KILLED", "TAKEN OVER", "REFUSED")
    lines = [line for line in demo_run.screen.printed if line.startswith(words)]
    assert [line.startswith(word) for line, word in zip(lines, words, strict=True)] == [True] * len(words)
    assert demo_run.screen.drawn > 10


def test_the_race_has_one_winner(demo_run: DemoRun) -> None:
    """Of the agents that ask for one feature at once, one gets it and the others are refused."""
    assert "got it, 2 were refused with already_claimed" in demo_run.screen.lines("RACE")[0]


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        (A_CLAIM_TOO_MANY, {"unbroken", "audit"}),
        (A_FAILURE_FORGOTTEN, {"one_holder", "nothing_lost"}),
        (A_PASS_DELETED, {"nothing_lost", "audit"}),
        ("UPDATE features SET status = 'stuck' WHERE id = 1", {"all_done", "audit"}),
        ("UPDATE features SET unmet_dependencies = unmet_dependencies + 1 WHERE id = 2", {"audit"}),
        (A_DEPENDENCY_OVERLOOKED, {"dependencies", "audit"}),
    ],
)
def test_a_changed_database_breaks_the_verdict(
    demo_run: DemoRun, database: Database, statement: str, names: set[str]
) -> None:
    """Each change that was made without Dibs is found by the right check."""
    change(database, statement)
    verdict = judge(database, demo_run.backlog, demo_run.seen)
    assert names <= broken(verdict)
    assert not verdict.holds


@pytest.mark.slow
def test_a_demo_that_stalls_is_stopped_early_and_judged(tmp_path: Path) -> None:
    """If the lease is longer than the patience, the verdict reports the missing take-over."""
    demo_run = run(tmp_path, small_backlog(tmp_path), agents=2, lease=300, patience=10)
    database = open_database(Settings(db=str(demo_run.db), project=PROJECT))
    verdict = judge(database, demo_run.backlog, demo_run.seen)
    database.close(5)
    assert demo_run.screen.lines("STOPPED EARLY  nothing has happened for 10 s")
    assert verdict.stopped_early
    assert broken(verdict) == {"all_done", "take_over", "dead_token"}
    assert not verdict.holds
