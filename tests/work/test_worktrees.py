"""Worktrees, in the repositories that people have."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from work.conftest import MERGE, Project

COMMITS = 'mkdir -p built; ls built > "$HERE/saw-$DIBS_FEATURE_NAME"; touch "built/$DIBS_FEATURE_NAME"'


def saw(project: Project, name: str) -> set[str]:
    """Return the features whose code was in the worktree of another one."""
    return set((project.folder / ".dibs" / f"saw-{name}").read_text().split())


def test_a_worktree_contains_the_merged_code_of_its_dependencies(project: Project) -> None:
    """Each worktree is made at the claim, from a base into which its dependencies were merged before they passed."""
    project.add("base", COMMITS)
    project.add("left", COMMITS, "base")
    project.add("right", COMMITS, "base")
    project.add("top", COMMITS, "left", "right")
    done = project.work("--agents", 3, "--worktrees", "--then", MERGE)
    assert done.returncode == 0, done
    assert saw(project, "left") >= {"base"}
    assert saw(project, "right") >= {"base"}
    assert saw(project, "top") == {"base", "left", "right"}
    assert {one.name for one in (project.folder / "built").iterdir()} == {"base", "left", "right", "top"}
    trailers = project.git("log", "--no-merges", "--format=%s=%(trailers:key=Dibs,valueonly)").split()
    assert set(trailers) == {"first=", "base=1", "left=2", "right=3", "top=4"}
    assert project.worktrees() == []
    assert project.git("branch", "--format=%(refname:short)") == "main"


def test_a_merge_that_fails_fails_the_feature(project: Project) -> None:
    """If --then fails, the feature fails with its output, does not pass, and its worktree with the work stays."""
    project.rule("max_failures", 1)
    project.add("one", COMMITS)
    done = project.work("--worktrees", "--then", "echo conflict; false")
    assert done.returncode == 5
    assert project.last("one") == ("fail", "echo conflict; false ended with status 1: conflict"), done
    assert project.worktrees() == ["1"]
    assert f"kept: {project.folder / '.dibs' / 'worktrees' / '1'} (branch dibs/1)" in done.stdout


def test_a_feature_that_passes_itself_is_merged_before_its_dependents_begin(project: Project) -> None:
    """A command's own pass is merged afterwards, and a dependent's worktree waits for that; a failure is a regression."""
    import sys

    own = f'{sys.executable} -m dibs pass "$DIBS_FEATURE_ID"; sleep 0.5'
    project.add("one", f"{COMMITS}; {own}")
    project.add("two", COMMITS, "one")
    done = project.work("--agents", 2, "--worktrees", "--then", MERGE)
    assert done.returncode == 0, done
    assert saw(project, "two") == {"one"}
    project.rule("max_failures", 1)
    project.add("three", f"{COMMITS}; {own}; touch other")
    done = project.work("--worktrees", "--then", '[ -e "$HERE/failed" ] || { touch "$HERE/failed"; false; }')
    assert project.kinds("three")[:4] == ["create", "claim", "pass", "regress"]


@pytest.mark.parametrize(("keep", "left"), [("failed", ["2"]), ("always", ["1", "2", "3"]), ("never", [])])
def test_keep_says_which_worktrees_stay(project: Project, keep: str, left: list[str]) -> None:
    """`failed` keeps work that did not pass, and no worktree without work; the branch of a pass stays until it is merged."""
    project.rule("max_failures", 1)
    project.add("passes", COMMITS)
    project.add("fails", f"{COMMITS}; exit 1")
    project.add("idle", "exit 1")
    assert project.work("--worktrees", "--keep", keep).returncode == 5
    assert project.worktrees() == left
    assert "dibs/1" in project.git("branch", "--format=%(refname:short)").split()
    assert project.git("show", "--format=%s", "--name-only", "dibs/1").split() == ["passes", "built/passes"]


def test_folders_and_branches_that_exist_are_left_alone(project: Project) -> None:
    """Where somebody has the folder or the branch of a feature, the worktree gets the next free name."""
    project.git("branch", "dibs/1")
    folder = project.folder / ".dibs" / "worktrees" / "1-2"
    folder.mkdir(parents=True)
    (folder / "mine").touch()
    project.add("one", f'echo "$DIBS_BRANCH" > "$HERE/branch"; {COMMITS}')
    assert project.work("--worktrees").returncode == 0
    assert (project.folder / ".dibs" / "branch").read_text() == "dibs/1-3\n"
    assert (folder / "mine").exists()
    project.git("update-ref", "-d", "refs/heads/dibs/1")
    project.git("update-ref", "-d", "refs/heads/dibs/1-3")
    project.git("branch", "dibs")
    project.add("two", COMMITS)
    assert project.work("--worktrees").returncode == 0
    assert "dibs-2" in project.git("branch", "--format=%(refname:short)").split()


def test_work_goes_on_in_its_worktree_after_a_rate_limit(project: Project) -> None:
    """What a command has done before a rate limit is there when its feature is claimed again."""
    project.add("limited", f"[ -e begun ] || {{ touch begun; exit 75; }}; {COMMITS}")
    done = project.work("--worktrees", "--back-off", 0.05, "--then", MERGE)
    assert done.returncode == 0, done
    assert (project.folder / "begun").exists()
    assert project.worktrees() == []


def test_the_subfolder_is_the_same_in_the_worktree(new_project: Callable[..., Project]) -> None:
    """A loop that starts in a folder of a repository, whose path has blanks and umlauts, works in that folder."""
    project = new_project("ein Projekt für Jörg")
    (project.folder / "der Teil").mkdir()
    (project.folder / "der Teil" / "datei").touch()
    project.git("add", ".")
    project.git("commit", "--quiet", "--message", "part")
    (project.folder / "der Teil" / "datei").write_text("changed")
    project.add("größe", "ls; touch neu")
    done = project.work("--worktrees", "--then", MERGE, cwd=project.folder / "der Teil")
    assert done.returncode == 0, done
    assert "ada-1 1: datei\n" in done.stdout
    assert "has uncommitted changes, which are not in the worktrees" in done.stdout
    assert (project.folder / "der Teil" / "neu").exists()


def test_a_detached_head_is_a_base_too(project: Project) -> None:
    """Where the checkout has no branch, worktrees begin with its commit."""
    project.git("checkout", "--quiet", "--detach")
    project.add("one", COMMITS)
    project.add("two", COMMITS, "one")
    assert project.work("--worktrees", "--then", MERGE).returncode == 0
    assert saw(project, "two") == {"one"}


def test_the_base_may_be_named(project: Project) -> None:
    """--base names a branch that is not checked out; one that does not exist is refused."""
    project.git("branch", "other")
    (project.folder / "new").touch()
    project.git("add", "new")
    project.git("commit", "--quiet", "--message", "second")
    project.add("one", "ls; touch x")
    done = project.work("--worktrees", "--base", "other")
    assert (done.returncode, "1: new" in done.stdout) == (0, False)
    assert project.work("--worktrees", "--base", "--no-such").returncode == 2


def test_a_bare_repository_serves(project: Project, tmp_path: Path) -> None:
    """Worktrees of a bare repository begin with its HEAD."""
    bare = tmp_path / "bare.git"
    project.git("clone", "--quiet", "--bare", str(project.folder), str(bare))
    project.add("one", COMMITS)
    done = project.work("--worktrees", cwd=bare)
    assert done.returncode == 0, done
    assert project.git("log", "-1", "--format=%s", "dibs/1", cwd=bare) == "one"
    assert len(project.git("worktree", "list", cwd=bare).splitlines()) == 1


def test_submodules_are_there(project: Project, new_project: Callable[..., Project], tmp_path: Path) -> None:
    """A worktree has the submodules of its repository, and is removed with them."""
    library = new_project("library")
    os.environ["GIT_ALLOW_PROTOCOL"] = "file"  # git fetches no submodule from a path by itself
    try:
        project.git("submodule", "--quiet", "add", str(library.folder), "lib")
        project.git("commit", "--quiet", "--message", "library")
        project.add("one", "test -e lib/.git && touch used")
        done = project.work("--worktrees", "--then", MERGE)
    finally:
        del os.environ["GIT_ALLOW_PROTOCOL"]
    assert done.returncode == 0, done
    assert (project.folder / "used").exists()
    assert project.worktrees() == []


def test_a_folder_without_a_usable_repository_is_refused(project: Project, tmp_path: Path) -> None:
    """Without a repository, or a first commit, no feature is claimed, and the refusal says what is missing."""
    project.add("one", "")
    empty, unborn = tmp_path / "empty", tmp_path / "unborn"
    empty.mkdir()
    project.git("init", "--quiet", str(unborn))
    for folder, said in ((empty, "--worktrees needs a git repository"), (unborn, "a first commit")):
        done = project.shell.dibs("work", "--worktrees", "--", "true", cwd=folder)
        assert (done.returncode, said in done.stderr) == (2, True), done
    assert project.kinds("one") == ["create"]


def test_what_a_hook_of_git_refuses_fails_the_feature(project: Project) -> None:
    """The commit of what a command leaves runs the repository's hooks; a refusal is the feature's failure."""
    project.rule("max_failures", 1)
    hook = project.folder / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no tests >&2; exit 1\n")
    hook.chmod(0o755)
    project.add("one", COMMITS)
    assert project.work("--worktrees").returncode == 5
    assert project.last("one")[1].startswith("what it left could not be committed: no tests")
    assert project.worktrees() == ["1"]
