"""The pause after a rate limit: all agents keep it, and the work that was begun is not lost in it."""

from __future__ import annotations

import time

from work.conftest import Project
from work.test_kills import start

LIMITED = 'echo "$(date +%s.%N)" >> "$HERE/tries"; [ "$(wc -l < "$HERE/tries")" -ge 2 ] || exit 75'


def test_agents_that_wait_for_work_keep_the_pause(project: Project) -> None:
    """The feature that is put back goes to no idle agent before the pause ends."""
    project.add("limited", LIMITED)
    assert project.work("--agents", 3, "--back-off", 2).returncode == 0
    first, second = (float(one) for one in (project.folder / ".dibs" / "tries").read_text().split())
    assert second - first >= 1.5
    assert project.kinds("limited") == ["create", "claim", "release", "claim", "pass"]


def test_work_survives_a_kill_in_the_pause(project: Project) -> None:
    """A loop that is killed in the pause leaves the worktree to the next one, which goes on in it."""
    (project.folder / ".dibs" / "scripts").mkdir(exist_ok=True)
    (project.folder / ".dibs" / "scripts" / "all").write_text("[ -e begun ] && exit 0; touch begun; exit 75")
    project.add("limited", "")
    loop = start(project, "--worktrees", "--back-off", "900")
    assert loop.stdout is not None
    while "rate limit" not in loop.stdout.readline():
        pass
    loop.kill()
    loop.communicate(timeout=60)
    assert project.worktrees() == ["1"]
    began = time.monotonic()
    again = start(project, "--worktrees")
    output, errors = again.communicate(timeout=60)
    assert (again.returncode, errors) == (0, ""), output
    assert time.monotonic() - began < 60
    assert project.kinds("limited") == ["create", "claim", "release", "claim", "pass"]
    assert project.worktrees() == []
    assert project.git("show", "--format=", "--name-only", "dibs/1") == "begun"
