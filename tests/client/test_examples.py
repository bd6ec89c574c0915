"""The examples work as their users run them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dibs.client import SyncBacklog
from dibs.database import open_database
from dibs.settings import Settings
from dibs_schema.inputs import NewFeature
from races.backlog import rule

EXAMPLES = Path(__file__).parents[2] / "examples"
ORCHESTRATOR = EXAMPLES / "orchestrator.py"
AGENT = """
import json, sys
feature = json.load(sys.stdin)
print("built", feature["name"])
sys.exit(feature["name"] == "broken")
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder. Each program that is started in it finds its backlog."""
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@pytest.fixture
def backlog(place: Path) -> Iterator[SyncBacklog]:
    """The project's backlog."""
    with SyncBacklog.open() as opened:
        assert opened.stats().database == str(place / ".dibs" / "features.db")
        yield opened


def features(*names: str) -> list[NewFeature]:
    """Features. Each, from the third on, depends on the feature two places before it."""
    return [
        NewFeature(
            category="core",
            name=name,
            description="what it does",
            steps=["look"],
            depends_on_indices=[number - 2] if number > 1 else [],
        )
        for number, name in enumerate(names)
    ]


def test_the_orchestrator_drains_a_backlog(place: Path, backlog: SyncBacklog) -> None:
    """Workers share the features, a failed build fails its feature with the output, and the program ends."""
    database = open_database(Settings())
    rule(database, "max_failures", 1)
    database.close(patience=5)
    backlog.create_many([*features("one", "two", "three", "four"), *features("broken")])
    planner = threading.Thread(target=archive_what_failed, args=(backlog,))
    planner.start()
    command = [sys.executable, str(ORCHESTRATOR), "2", sys.executable, "-c", AGENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        _, errors = running.communicate(timeout=100)
    assert running.returncode == 0, errors
    assert backlog.stats().counts.passing == 4
    assert backlog.get(3).evidence == {"summary": "built three"}
    process = f"{os.uname().nodename}-{running.pid}"
    assert {backlog.get(number).passed_by for number in range(1, 5)} == {f"{process}-0", f"{process}-1"}
    broken = backlog.get(5)
    planner.join()
    assert (broken.status, broken.last_failure) == ("archived", "RuntimeError: status 1: built broken")


def archive_what_failed(backlog: SyncBacklog) -> None:
    """Archive the first feature that fails, so that no feature waits for it."""
    failed = next(event.feature for event in backlog.follow("0-0") if event.kind == "fail")
    assert failed is not None
    backlog.update(failed, archived=True)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_orchestrator_gives_back_what_it_held_when_it_was_interrupted(
    ending: signal.Signals, place: Path, backlog: SyncBacklog
) -> None:
    """Ctrl-C or SIGTERM leaves no claim, no agent and no child process, and prints one line."""
    backlog.create_many(features("one", "two"))
    agent = "sh -c 'touch pid-$$; exec sleep 60' & touch pid-$$; wait"
    with subprocess.Popen(
        [sys.executable, str(ORCHESTRATOR), "2", "sh", "-c", agent], stderr=subprocess.PIPE, text=True
    ) as running:
        while len(pids := [int(file.name[4:]) for file in place.glob("pid-*")]) < 4:
            time.sleep(0.05)
        running.send_signal(ending)
        _, errors = running.communicate(timeout=20)
    assert (running.returncode, errors) == (1, "Stopped; all claims are released.\n")
    assert backlog.stats().counts.ready == 2
    assert [pid for pid in pids if is_running(pid)] == []


def is_running(pid: int) -> bool:
    """Return whether a process has not ended; its new parent may reap it late."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_the_orchestrator_blames_no_feature_for_a_command_that_there_is_not(place: Path, backlog: SyncBacklog) -> None:
    """A mistyped command ends it with a message and changes no feature; without a command it prints its usage."""
    backlog.create_many(features("one", "two"))
    call = [sys.executable, str(ORCHESTRATOR)]
    mistyped = subprocess.run([*call, "2", "cluade", "-p"], capture_output=True, text=True, check=False, timeout=60)
    assert (mistyped.returncode, mistyped.stderr) == (1, "Stopped; all claims are released.\n")
    assert "cluade: No such file or directory\n" in mistyped.stdout
    assert backlog.stats().counts.ready == 2
    assert [event.kind for event in backlog.history(1).events if event.kind == "fail"] == []
    for arguments in ([], ["2"], ["claude", "-p"]):
        done = subprocess.run([*call, *arguments], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 1
        assert "python orchestrator.py 4 claude -p" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.timeout(250)  # each agent has a server of its own: six interpreters start
def test_each_agent_is_started_for_one_feature(place: Path, backlog: SyncBacklog) -> None:
    """Agents with servers of their own build what was claimed for them, and each is told that its work is done."""
    database = open_database(Settings())
    for limit in ("max_failures", "max_attempts"):
        rule(database, limit, 1)
    database.close(patience=5)
    for name in ("one", "broken", "crash"):
        backlog.create_many(features(name))
    agent = [sys.executable, str(Path(__file__).parent / "one_feature_agent.py"), str(place)]
    command = [sys.executable, str(EXAMPLES / "one_feature_agents.py"), "2", *agent]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    assert [backlog.get(number).status for number in range(1, 4)] == ["passing", "stuck", "stuck"]
    assert backlog.get(1).evidence == {"summary": "built one"}
    for number, word in ((1, "passed"), (2, "failed")):
        assert f" {number} {word}\n" in done.stdout
        assert f"feature {number}, and its claim has ended: it {word}" in (place / str(number)).read_text(
            encoding="utf-8"
        )
    assert "the agent ended with status -9 and no outcome\n" in done.stdout


def test_the_orchestrator_is_short() -> None:
    """The example is short enough to copy, and uses only the client of Dibs."""
    text = ORCHESTRATOR.read_text(encoding="utf-8")
    code = [line for line in text.split('"""', 2)[2].splitlines() if line.strip() and '"""' not in line]
    assert len(code) < 50
    assert set(re.findall(r"from (dibs\S*) import", text)) == {"dibs.client", "dibs_schema.refusals"}
