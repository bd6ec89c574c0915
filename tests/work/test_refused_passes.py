"""What the project requires of a pass: the loop meets it where the work is, before --then, or fails the feature."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from work.conftest import MERGE, Project
from work.test_kills import start

DIBS = f"{sys.executable} -m dibs"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own configuration folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CLAUDE_CODE_SESSION_ID", "")
    return tmp_path / "config"


def require(project: Project, name: str, value: str) -> None:
    """Set a setting of the project as a person does."""
    assert project.shell.dibs("settings", name, value).returncode == 0


@pytest.mark.usefixtures("home")
def test_work_that_is_not_verified_fails(project: Project) -> None:
    """A verify command that fails is the feature's failure, with the end of its output, and not an endless loop."""
    project.rule("back_off", 0)
    again = project.folder / ".dibs" / "again"
    require(project, "verify_command", f"[ -e {again} ] || {{ touch {again}; echo two tests fail; exit 3; }}")
    project.add("one", "")
    assert project.work().returncode == 0
    assert project.kinds("one") == ["create", "claim", "fail", "claim", "pass"]
    reason = project.events("one")[2]["detail"]["reason"]
    assert reason == "the pass was refused: verify_command ended with status 3: two tests fail"


def test_work_without_the_required_evidence_fails_before_it_is_merged(project: Project) -> None:
    """Where the project requires a summary and the command prints none, the feature fails, and --then does not run."""
    project.rule("back_off", 0)
    require(project, "require_evidence", "summary")
    project.add("one", '[ -e "$HERE/again" ] && echo all is well; touch "$HERE/again"')
    assert project.work("--then", 'echo run >> "$HERE/merged"').returncode == 0
    assert project.kinds("one") == ["create", "claim", "fail", "claim", "pass"]
    assert "requires evidence with a summary" in project.events("one")[2]["detail"]["reason"]
    assert (project.folder / ".dibs" / "merged").read_text() == "run\n"


def test_a_verify_command_that_may_not_run_here_ends_the_loop(project: Project, home: Path) -> None:
    """Where nobody has allowed the command, the feature is put back at no cost, and the loop ends with the reason."""
    require(project, "verify_command", "true")
    project.add("one", "")
    done = project.work(XDG_CONFIG_HOME=str(home / "other"))
    assert (done.returncode, "nobody has allowed that" in done.stderr) == (1, True), done
    assert project.kinds("one") == ["create", "claim", "release"]


@pytest.mark.usefixtures("home")
def test_the_worktree_is_verified_before_it_is_merged(project: Project) -> None:
    """The verify command runs once, in the feature's worktree with its commit, and --then only after its success."""
    project.rule("back_off", 0)
    here = project.folder / ".dibs"
    require(project, "verify_command", f'echo run >> {here}/runs; test -e "$(git log -1 --format=%s)"')
    project.add("good", "touch good")
    project.add("bad", '[ -e "$HERE/again" ] && touch bad; touch "$HERE/again" other')
    done = project.work("--worktrees", "--then", f'{MERGE}; echo "$DIBS_FEATURE_NAME" >> "$HERE/merged"')
    assert done.returncode == 0, done
    assert project.kinds("bad") == ["create", "claim", "fail", "claim", "pass"]
    assert (here / "merged").read_text() == "good\nbad\n"
    assert (here / "runs").read_text() == "run\n" * 3
    tree = project.shell.json("show", str(project.ids["bad"]))["verification"]["tree"]
    assert tree == project.git("rev-parse", "HEAD^{tree}")


def test_a_pass_that_the_killed_loop_could_not_follow_is_followed(project: Project) -> None:
    """After a kill between the command's own pass and --then, the next loop commits what is left and runs --then."""
    (project.folder / ".dibs" / "scripts").mkdir(exist_ok=True)
    script = project.folder / ".dibs" / "scripts" / "all"
    script.write_text(f'touch made; {DIBS} pass "$DIBS_FEATURE_ID"; echo passed; sleep 300')
    project.add("one", "")
    loop = start(project, "--worktrees", "--then", MERGE)
    assert loop.stdout is not None
    while not loop.stdout.readline().endswith(": passed\n"):
        pass
    loop.kill()
    loop.communicate(timeout=60)
    assert project.kinds("one") == ["create", "claim", "pass"]
    again = start(project, "--worktrees", "--then", MERGE)
    output, errors = again.communicate(timeout=60)
    assert (again.returncode, errors) == (0, ""), output
    assert (project.folder / "made").exists()
    assert project.kinds("one") == ["create", "claim", "pass"]
    assert project.worktrees() == []


def test_a_failing_then_after_a_kill_reports_the_pass(project: Project) -> None:
    """If --then fails after the restart, the feature that its command had passed is reported as broken."""
    (project.folder / ".dibs" / "scripts").mkdir(exist_ok=True)
    script = project.folder / ".dibs" / "scripts" / "all"
    script.write_text(
        f'[ -e "$HERE/again" ] && exit 0; touch "$HERE/again" made; {DIBS} pass "$DIBS_FEATURE_ID"; echo passed; sleep 300'
    )
    project.add("one", "")
    loop = start(project, "--worktrees")
    assert loop.stdout is not None
    while not loop.stdout.readline().endswith(": passed\n"):
        pass
    loop.kill()
    loop.communicate(timeout=60)
    done = start(project, "--worktrees", "--then", '[ -e "$HERE/failed" ] || { touch "$HERE/failed"; false; }')
    output, errors = done.communicate(timeout=60)
    assert (done.returncode, errors) == (0, ""), output
    assert project.kinds("one") == ["create", "claim", "pass", "regress", "claim", "pass"]
    assert project.worktrees() == ["1"]


def test_work_on_a_branch_of_the_agents_own_is_merged(project: Project) -> None:
    """What the agent commits on another branch, or on none, is on the feature's branch before --then runs."""
    commits = 'git add --all; git commit --quiet --message "$DIBS_FEATURE_NAME"'
    project.add("named", f"git switch --quiet -c own; touch named; {commits}")
    project.add("detached", f"git switch --quiet --detach; touch detached; {commits}; touch left")
    done = project.work("--worktrees", "--then", MERGE)
    assert done.returncode == 0, done
    assert {one.name for one in project.folder.iterdir()} >= {"named", "detached", "left"}
    assert project.worktrees() == []


def test_a_branch_that_lacks_the_features_commits_is_refused(project: Project) -> None:
    """If the worktree's HEAD lacks commits of the feature's branch, nothing is merged or lost: the feature fails."""
    project.rule("back_off", 0)
    leaves = "touch a; git add a; git commit --quiet --message a; git switch --quiet -c own HEAD~1"
    project.add("one", f'[ -e "$HERE/again" ] && exit 0; touch "$HERE/again"; {leaves}')
    done = project.work("--worktrees", "--no-commit", "--then", f'{MERGE}; echo run >> "$HERE/merged"')
    assert done.returncode == 0, done
    assert project.kinds("one") == ["create", "claim", "fail", "claim", "pass"]
    assert "lacks commits of it" in project.events("one")[2]["detail"]["reason"]
    assert (project.folder / ".dibs" / "merged").read_text() == "run\n"
    assert project.git("log", "-1", "--format=%s", "dibs/1") == "a"
