"""The git hook of `examples/` exports before a commit, in a real repository; without it nothing does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.shells import foreign_settings

pytestmark = pytest.mark.only_on("sqlite", reason="git plays the part")

HOOK = Path(__file__).parents[3] / "examples/git-hooks/pre-commit"
AUTHOR = {f"GIT_{who}_{what}": "ada@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


class Repository:
    """A repository with a backlog of one feature, and the hook."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = folder.with_name("programs")
        programs.mkdir()
        dibs = programs / "dibs"
        dibs.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dibs "$@"\n')
        dibs.chmod(0o755)
        clean = {name: value for name, value in os.environ.items() if name not in foreign_settings()}
        path = f"{programs}{os.pathsep}{clean['PATH']}"
        self.environment = {**clean, **AUTHOR, "PATH": path, "HOME": str(programs)}
        folder.mkdir()
        self.run("git", "init", "-q", "-b", "main")
        (folder / "code.py").write_text("one = 1\n")
        self.run("git", "add", "code.py")
        self.add("Sign in")
        shutil.copy(HOOK, folder / ".git/hooks/pre-commit")

    def run(self, *words: str, cwd: Path | None = None) -> str:
        """Run a program, which must succeed, and return what it prints."""
        done = subprocess.run(
            words, cwd=cwd or self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def add(self, name: str) -> None:
        self.run("dibs", "add", name, "--category", "c", "--description", "d", "--step", "s")

    def committed(self, file: str = "backlog.json") -> list[str]:
        """Return the names of the features in the file of the last commit."""
        return [one["name"] for one in json.loads(self.run("git", "show", f"HEAD:{file}"))["features"]]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_a_commit_brings_the_export(repository: Repository) -> None:
    """The export is in the commit, also of a commit from a folder below, and nothing is left to commit."""
    repository.run("git", "commit", "-q", "-m", "First")
    assert repository.committed() == ["Sign in"]
    repository.add("Sign out")
    (repository.folder / "below").mkdir()
    (repository.folder / "code.py").write_text("one = 2\n")
    repository.run("git", "commit", "-q", "-a", "-m", "Second", cwd=repository.folder / "below")
    assert repository.committed() == ["Sign in", "Sign out"]
    assert repository.run("git", "status", "--porcelain") == ""


def test_the_file_is_configured(repository: Repository) -> None:
    repository.run("git", "config", "dibs.export", "docs/the list.json")
    repository.run("git", "commit", "-q", "-m", "First")
    assert repository.committed("docs/the list.json") == ["Sign in"]


def test_a_commit_of_named_files_has_these_alone(repository: Repository) -> None:
    """The index of such a commit is temporary: what a hook adds to it would be lost in the index that stays."""
    repository.run("git", "commit", "-q", "-m", "First")
    repository.add("Sign out")
    (repository.folder / "code.py").write_text("one = 2\n")
    repository.run("git", "commit", "-q", "-m", "Second", "code.py")
    assert repository.committed() == ["Sign in"]
    assert repository.run("git", "status", "--porcelain") == ""


def test_a_failed_export_prevents_no_commit(repository: Repository) -> None:
    """The reason is printed, and a file that is no export stays."""
    (repository.folder / "backlog.json").write_text("[]\n")
    said = repository.run("git", "commit", "-q", "-m", "First")
    assert "is not an export" in said
    assert (repository.folder / "backlog.json").read_text() == "[]\n"
    assert repository.run("git", "log", "--format=%s") == "First\n"


def test_without_the_hook_nothing_is_exported(repository: Repository) -> None:
    (repository.folder / ".git/hooks/pre-commit").unlink()
    repository.run("git", "commit", "-q", "-m", "First")
    assert repository.run("git", "ls-files") == "code.py\n"
