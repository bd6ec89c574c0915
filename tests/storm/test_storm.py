"""A storm holds on every engine, and names what was broken during it."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from dibs_proof.planted_bugs import FREEZE, IN_STORMS, buggy_server
from dibs_proof.storm.command import print_report
from dibs_proof.storm.plan import Plan
from dibs_proof.storm.state import StormState
from dibs_proof.storm.storm import run_storm
from dibs_proof.storm.verdict import Verdict
from foreign import by_hand
from races.backlog import LONG, times

pytestmark = pytest.mark.timeout(600)

ROUNDS = 16
"""Storms in which each bug must have been found at the latest; most are found in each."""
AT_ONCE = 2
"""The number of storms at the same time; a storm mostly waits."""
TAMPERED = {"one_holder", "unbroken", "audit", "healthy"}
"""The checks that these break: missing events, a wrong counter and a wrong reference."""
WRONG = (
    "DELETE FROM events WHERE kind = 'claim' AND id % 2 = 0",
    "UPDATE features SET unmet_dependencies = unmet_dependencies + 7 WHERE id = 1",
    "INSERT INTO dependencies (project_id, feature_id, dependency_id) VALUES (1, 1, 99999)",
)


def plan(db: str, seconds: float, seed: int = 3, bugs: tuple[str, ...] = ()) -> Plan:
    """A storm of four agents."""
    made = Plan(db, "storm", seconds, agents=4, lease=3, seed=seed)  # whose first four ends differ
    return Plan(db, "storm", seconds, 4, 3, seed, buggy_server(*bugs)) if bugs else made


def broken(verdict: Verdict) -> dict[str, list[str]]:
    """The broken findings, without the one about the tests' server, which does not sync to disk."""
    found = {one.name: [line for line in one.broken if not line.startswith("fsync is off")] for one in verdict.findings}
    return {name: lines for name, lines in found.items() if lines}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A freeze is shorter, since it is planted."""
    monkeypatch.setattr("dibs_proof.storm.verdict.FREEZE", FREEZE)


def test_every_promise_holds_in_a_storm(empty_db: str, tmp_path: Path, engine: str) -> None:
    """A storm of kills, stops, hang-ups, foreign locks and jumping clocks breaks no promise."""
    if engine == "sqlite" and not LONG:
        pytest.skip("`make storm` is a minute of it; DIBS_TEST_LONG=1 has it here, too")
    verdict = run_storm(plan(empty_db, times(6, 120)), tmp_path, lambda *_: None)
    print(verdict.figures)
    assert broken(verdict) == {}
    # A short storm may have no quiet end with claims, no creation, no two on one file.
    rare = {"released", "once", "areas"}
    assert all(one.checked for one in verdict.findings if LONG or one.name not in rare), verdict.findings
    assert verdict.figures["kills"] >= 1
    assert verdict.figures["strangers"] >= 1


@pytest.mark.usefixtures("quick")
@pytest.mark.only_on("sqlite", reason="the checks are the same on both; a storm costs seconds")
def test_every_check_fails_where_what_it_checks_is_broken(tmp_path: Path) -> None:
    """Servers with every bug, and a foreign program that changes the database, fail every check."""
    found: dict[str, list[str]] = defaultdict(list)
    checks: set[str] = set()
    with ThreadPoolExecutor(AT_ONCE) as storms:
        for first in range(0, ROUNDS, AT_ONCE):
            for verdict in storms.map(partial(_buggy_storm, tmp_path), range(first, first + AT_ONCE)):
                checks = {one.name for one in verdict.findings}
                for name, lines in broken(verdict).items():
                    found[name] += lines
            if found.keys() == checks:
                break
    print(*(f"{name}: {lines[0].splitlines()[0]}" for name, lines in found.items()), sep="\n")
    assert found.keys() == checks
    assert checks == {*TAMPERED, *IN_STORMS.values(), "in_time"}


def _buggy_storm(folder: Path, number: int) -> Verdict:
    """Run a storm of servers with every bug, on a database that is tampered with."""
    place = folder / str(number)
    place.mkdir()
    buggy = plan(str(place / "features.db"), 5, seed=number, bugs=tuple(IN_STORMS))
    return run_storm(buggy, place, Tamper(buggy.db))


@pytest.mark.skipif(not LONG, reason="all bugs at once are tried instead; with DIBS_TEST_LONG=1 each is too")
@pytest.mark.usefixtures("quick")
@pytest.mark.only_on("sqlite", reason="the checks are the same on both; a storm costs seconds")
@pytest.mark.parametrize("bug", IN_STORMS)
def test_each_bug_is_named_by_its_check(tmp_path: Path, bug: str) -> None:
    """A server with one bug fails its check in one of a few storms."""
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        verdict = run_storm(plan(str(folder / "features.db"), 15, number, (bug,)), folder, lambda *_: None)
        print(number, broken(verdict))
        if IN_STORMS[bug] in broken(verdict):
            return
    pytest.fail(f"{bug} was not named by {IN_STORMS[bug]}")


@pytest.mark.only_on("sqlite", reason="a table is missed in the same way on both; a storm costs seconds")
def test_a_database_that_cannot_be_read_in_the_end_is_a_verdict(tmp_path: Path) -> None:
    """A database that cannot be read is the only finding, and the report shows it."""
    mine = plan(str(tmp_path / "features.db"), 3)
    verdict = run_storm(mine, tmp_path, Tamper(mine.db, "DROP TABLE events"))
    assert [one.name for one in verdict.findings if not one.holds] == ["healthy"], verdict.findings
    assert not verdict.holds
    console = Console(record=True, width=200)
    print_report(console, verdict)
    assert "BROKEN. 1 of 1" in console.export_text()


class Tamper:
    """Changes the database by these statements, without Dibs, once, shortly before the end of a storm."""

    def __init__(self, db: str, *statements: str) -> None:
        self._db = db
        self._statements = statements or WRONG
        self._done = False

    def __call__(self, _: StormState, left: float) -> None:
        """Do it when it is time."""
        if left < 1 and not self._done:
            self._done = True
            by_hand(self._db, "PRAGMA foreign_keys = OFF", *self._statements)
