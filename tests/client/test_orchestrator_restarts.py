"""The example orchestrator may be started twice, killed and restarted at any time."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dibs.client import SyncBacklog
from dibs.database import open_database
from dibs.settings import Settings
from dibs_schema.answers import Claimed
from races.backlog import rule

pytestmark = pytest.mark.only_on("sqlite", reason="the example knows nothing of engines, and starts many processes")

ORCHESTRATOR = Path(__file__).parents[2] / "examples" / "orchestrator.py"
FEATURES = 12
LEASE = 2.0


@pytest.fixture
def backlog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncBacklog]:
    """The backlog of a folder, with short leases and without back-off."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIBS_LEASE", str(LEASE))
    with SyncBacklog.open() as opened:
        opened.stats()
        database = open_database(Settings())
        for name, value in (("max_failures", 100), ("max_same_failures", 100), ("back_off", 0)):
            rule(database, name, value)
        database.close(patience=5)
        yield opened


def orchestrator(*command: str, first: str = "") -> subprocess.Popen[str]:
    """Start the example with two workers. `first` is Python that runs before it."""
    program = f"import runpy; {first or 'pass'}; runpy.run_path({str(ORCHESTRATOR)!r}, run_name='__main__')"
    return subprocess.Popen(
        [sys.executable, "-c", program, "2", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_orchestrators_that_are_killed_and_restarted_build_every_feature_once(backlog: SyncBacklog) -> None:
    """Two run at once, and are killed at random: each feature passes once, no claim is stolen, and both end well."""
    for number in range(FEATURES):
        backlog.create("core", f"feature {number}", "what it does", ["look"])
    dice = random.Random(4711)
    command = ("sh", "-c", "sleep 0.4")
    running = [orchestrator(*command) for _ in range(2)]
    for _ in range(4):
        time.sleep(dice.uniform(0.8, 2.0))
        victim = dice.randrange(2)
        running[victim].kill()
        running[victim].communicate()
        running[victim] = orchestrator(*command)
    ended = [(process.communicate(timeout=90)[1], process.returncode) for process in running]
    assert ended == [("", 0), ("", 0)]
    for number in range(1, FEATURES + 1):
        kinds = [event.kind for event in backlog.history(number, limit=100).events]
        assert (kinds.count("pass"), kinds.count("resume"), kinds[0]) == (1, 0, "pass"), kinds


def test_an_orchestrator_waits_for_the_lease_of_a_dead_one_with_its_name(backlog: SyncBacklog) -> None:
    """Where a process has the name of a dead one, as in a restarted container, its worker waits and does not steal."""
    for number in range(3):
        backlog.create("core", f"feature {number}", "what it does", ["look"])
    with SyncBacklog.start() as dead:
        claimed = dead.take(agent=f"{os.uname().nodename}-7-0")
        assert isinstance(claimed, Claimed)
        process = orchestrator("true", first="import os; os.getpid = lambda: 7")
        time.sleep(LEASE)
        assert process.poll() is None
        dead.mark_passing(claimed.feature.id)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert backlog.stats().counts.passing == 3
    assert [event.kind for event in backlog.history(claimed.feature.id).events] == ["pass", "claim", "create"]
