"""A loop that is killed and started again builds every feature once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dibs.platform.processes import is_running
from dibs.platform.signals import kill
from races.backlog import SEED, times
from work.conftest import MERGE, Project

BUILDS = """
mkdir -p built
ls built > "$HERE/saw-$DIBS_FEATURE_ID"
touch "built/$DIBS_FEATURE_ID"
git add --all
git diff --cached --quiet || git commit --quiet --message "$DIBS_FEATURE_NAME" --trailer "$DIBS_TRAILER"
sleep 0.1
"""
TIDY_MERGE = f"rm -f .git/index.lock; git merge --abort 2>/dev/null; {MERGE}"
"""A merge that may follow one that was killed. It runs under the loop's lock, so no other git is at work there."""


def start(project: Project, *arguments: str) -> subprocess.Popen[str]:
    """Start the loop in a process of its own."""
    here = str(project.folder / ".dibs")
    return project.shell.start("work", *arguments, "--", "sh", "-c", f'sh "{here}/scripts/all"', HERE=here)


def children(pid: int) -> list[int]:
    """Return all descendants of a process."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = list(parents.get(pid, []))
    for one in found:
        found.extend(parents.get(one, []))
    return found


@pytest.mark.timeout(times(120, 1200))
@pytest.mark.skipif(sys.platform != "linux", reason="it finds the children in /proc")
def test_a_loop_that_is_killed_again_and_again_builds_every_feature_once(project: Project) -> None:
    """After random kills, of the loop alone or with its children, each feature has passed once, from a worktree with its
    dependencies' merged code, none has failed or lost its claim, and no worktree or command is left."""
    dice = random.Random(SEED)
    names = [f"feature-{number}" for number in range(times(8, 40))]
    (project.folder / ".dibs" / "scripts").mkdir(exist_ok=True)
    (project.folder / ".dibs" / "scripts" / "all").write_text(BUILDS)
    needs: dict[str, list[str]] = {}
    for number, name in enumerate(names):
        needs[name] = dice.sample(names[:number], min(number, dice.randrange(3)))
        project.add(name, "", *needs[name])
    arguments = ("--agents", "4", "--worktrees", "--then", TIDY_MERGE)
    for _ in range(times(3, 20)):
        loop = start(project, *arguments)
        assert loop.stdout is not None
        for _ in range(dice.randrange(1, 12)):
            if not loop.stdout.readline():
                break  # all is done
        time.sleep(dice.uniform(0, 0.3))
        family = children(loop.pid) if dice.randrange(2) else []
        loop.kill()
        for one in family:
            try:
                kill(one)
            except ProcessLookupError:
                continue
        loop.communicate(timeout=60)
    last = start(project, *arguments)
    output, errors = last.communicate(timeout=300)
    assert (last.returncode, errors) == (0, ""), output
    for name in names:
        kinds = project.kinds(name)
        assert (kinds.count("pass"), kinds[-1]) == (1, "pass"), (SEED, kinds)
        assert set(kinds) <= {"create", "claim", "resume", "pass"}, (SEED, kinds)
        saw = set((project.folder / ".dibs" / f"saw-{project.ids[name]}").read_text().split())
        assert saw >= {str(project.ids[one]) for one in needs[name]}, (SEED, name)
    assert {one.name for one in (project.folder / "built").iterdir()} == {str(one) for one in project.ids.values()}
    assert project.worktrees() == []


def test_a_command_ends_with_the_loop(project: Project) -> None:
    """When the loop is killed, its commands and their children end at once, so nothing works without a claim."""
    (project.folder / ".dibs" / "scripts").mkdir(exist_ok=True)
    (project.folder / ".dibs" / "scripts" / "all").write_text("sleep 300 & echo $! $$; wait")
    project.add("one", "")
    loop = start(project)
    assert loop.stdout is not None
    loop.stdout.readline()
    pids = [int(one) for one in loop.stdout.readline().split()[-2:]]
    loop.kill()
    loop.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_running, pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_claims_back(project: Project, number: signal.Signals) -> None:
    """The first signal ends the commands and puts the features back, at no cost; the status names the signal."""
    (project.folder / ".dibs" / "scripts").mkdir(exist_ok=True)
    (project.folder / ".dibs" / "scripts" / "all").write_text("echo begun; sleep 300")
    project.add("one", "")
    loop = start(project, "--worktrees")
    assert loop.stdout is not None
    while "begun" not in loop.stdout.readline():
        pass
    loop.send_signal(number)
    output, errors = loop.communicate(timeout=60)
    assert (loop.returncode, errors) == (128 + number, ""), output
    assert project.kinds("one") == ["create", "claim", "release"]
    assert project.worktrees() == []


def test_a_second_signal_ends_at_once(project: Project) -> None:
    """A command that does not end is not waited for after the second Ctrl-C; the next loop goes on with the claim."""
    (project.folder / ".dibs" / "scripts").mkdir(exist_ok=True)
    script = project.folder / ".dibs" / "scripts" / "all"
    script.write_text("trap 'echo trapped' TERM; echo begun; while :; do sleep 0.05; done")
    project.add("one", "")
    loop = start(project, "--worktrees")
    assert loop.stdout is not None
    while "begun" not in loop.stdout.readline():
        pass
    loop.send_signal(signal.SIGINT)
    while "trapped" not in loop.stdout.readline():
        pass
    loop.send_signal(signal.SIGINT)
    loop.communicate(timeout=60)
    assert loop.returncode == 128 + signal.SIGINT
    assert project.kinds("one") == ["create", "claim"]
    script.write_text("exit 0")
    again = start(project, "--worktrees")
    output, errors = again.communicate(timeout=60)
    assert (again.returncode, errors) == (0, ""), output
    assert project.kinds("one") == ["create", "claim", "resume", "pass"]
    assert project.worktrees() == []


def test_a_smaller_loop_gives_back_what_a_larger_one_has_left(project: Project) -> None:
    """After a kill, agents that the next loop does not have give their claims back at once."""
    (project.folder / ".dibs" / "scripts").mkdir(exist_ok=True)
    script = project.folder / ".dibs" / "scripts" / "all"
    script.write_text("echo begun; sleep 300")
    for name in ("one", "two"):
        project.add(name, "")
    loop = start(project, "--agents", "2", "--worktrees")
    assert loop.stdout is not None
    begun = 0
    while begun < 2:
        begun += "begun" in loop.stdout.readline()
    loop.kill()
    loop.communicate(timeout=60)
    script.write_text("exit 0")
    again = start(project, "--worktrees")
    output, errors = again.communicate(timeout=60)
    assert (again.returncode, errors) == (0, ""), output
    assert project.kinds("one")[-1] == project.kinds("two")[-1] == "pass"
    assert project.worktrees() == []


def test_the_next_loop_waits_for_a_then_that_outlives_its_own(project: Project) -> None:
    """--then goes on after a kill. The next loop says that it waits for it, and then goes on with the claim."""
    (project.folder / ".dibs" / "scripts").mkdir(exist_ok=True)
    (project.folder / ".dibs" / "scripts" / "all").write_text("exit 0")
    project.add("one", "")
    then = 'echo merging; echo run >> "$HERE/runs"; while [ ! -e "$HERE/go" ]; do sleep 0.05; done'
    loop = start(project, "--then", then)
    assert loop.stdout is not None
    while "merging" not in loop.stdout.readline():
        pass
    loop.kill()
    again = start(project, "--then", then)
    assert again.stdout is not None
    assert "waits for the --then" in again.stdout.readline()
    (project.folder / ".dibs" / "go").touch()
    loop.communicate(timeout=60)
    output, errors = again.communicate(timeout=60)
    assert (again.returncode, errors) == (0, ""), output
    assert project.kinds("one") == ["create", "claim", "resume", "pass"]
