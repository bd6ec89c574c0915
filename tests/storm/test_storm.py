"""A storm holds on every engine, and says so where something was broken while it raged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dibs.storm.ends import End
from dibs.storm.plan import Plan
from dibs.storm.sky import Sky
from dibs.storm.storm import run_storm
from dibs.storm.verdict import Verdict
from foreign import by_hand
from races.backlog import times

pytestmark = pytest.mark.timeout(300)


def plan(db: str, seconds: float) -> Plan:
    """A storm of four agents."""
    return Plan(db, "storm", seconds, agents=4, lease=2, seed=3)  # whose first four ends differ


def broken(verdict: Verdict) -> dict[str, list[str]]:
    """What did not hold; that the tests' own server does not sync is so on purpose."""
    found = {
        one.name: [line for line in one.broken if not line.startswith("fsync is off")]
        for one in verdict.findings
    }
    return {name: lines for name, lines in found.items() if lines}


def test_every_promise_holds_in_a_storm(empty_db: str, tmp_path: Path) -> None:
    """Through kills, stops, hang-ups, foreign locks and jumping clocks, nothing is found against any promise."""
    verdict = run_storm(plan(empty_db, times(6, 120)), tmp_path, lambda *_: None)
    assert broken(verdict) == {}
    assert all(one.checked for one in verdict.findings), verdict.findings
    assert verdict.figures["kills"] >= 1
    assert verdict.figures["strangers"] >= 1


@pytest.mark.only_on("sqlite", reason="the checks are the same on both; a storm costs seconds")
def test_what_a_foreign_hand_broke_in_the_storm_is_found(empty_db: str, tmp_path: Path) -> None:
    """A counter and a status that were changed by hand, and events that were lost, each break a promise."""
    tampered: list[float] = []

    def tamper(sky: Sky, left: float) -> None:
        if left < 2 and not tampered:
            tampered.append(left)
            by_hand(
                empty_db,
                "DELETE FROM events WHERE kind = 'claim'",
                "UPDATE features SET unmet_dependencies = unmet_dependencies + 7 WHERE id = 1",
            )

    verdict = run_storm(plan(empty_db, 4), tmp_path, tamper)
    assert tampered
    assert {"nothing_lost", "unbroken", "recount"} <= broken(verdict).keys()
    assert not verdict.holds


@pytest.mark.only_on("sqlite", reason="the command line is the same on both; a storm costs seconds")
def test_the_command_tells_the_story_and_its_status_is_the_verdict(tmp_path: Path) -> None:
    """`dibs storm --json` prints figures and checks, exits with 0, and refuses a database that exists."""
    command = [sys.executable, "-m", "dibs", "storm", "--minutes", "0.05", "--agents", "2", "--lease", "1"]
    there = ["--db", str(tmp_path / "storm.db")]
    done = subprocess.run(
        [*command, *there, "--json"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["holds"] is True
    assert set(said["ends"]) == {one.value for one in End}
    again = subprocess.run([*command, *there], capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 2
    assert "exists already" in again.stderr
