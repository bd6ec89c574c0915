"""A real git repository with a backlog, and the loop on it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cli.shells import Ended, Shell
from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs.verbs.create import create_bulk
from dibs_schema.inputs import NewFeature
from races.backlog import Row, events_of, rule

RUN = ("sh", "-c", 'sh "$HERE/scripts/$DIBS_FEATURE_NAME"')
"""A command that runs the script of its feature."""
MERGE = 'git merge --quiet --no-edit "$DIBS_BRANCH"'


@dataclass(frozen=True)
class Project:
    """A repository in which each feature has a script, outside of what git sees."""

    folder: Path
    shell: Shell
    database: Database
    ids: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, script: str, *after: str) -> int:
        """Add a feature with its script, which waits for others."""
        scripts = self.folder / ".dibs" / "scripts"
        scripts.mkdir(parents=True, exist_ok=True)
        (scripts / name).write_text(script)
        one = NewFeature(
            category="core", name=name, description="d", steps=["s"], dependencies=[self.ids[each] for each in after]
        )
        self.ids[name] = self.database.write_now(lambda tx: create_bulk(tx, "test", [one])).ids[0]
        return self.ids[name]

    def work(self, *arguments: object, command: Sequence[str] = RUN, cwd: Path | None = None, **settings: str) -> Ended:
        """Run the loop in this process until it ends."""
        return self.shell.dibs("work", *arguments, "--", *command, cwd=cwd, HERE=str(self.folder / ".dibs"), **settings)

    def events(self, name: str) -> list[Row]:
        """The events of a feature, oldest first."""
        return list(events_of(self.database, self.ids[name]))

    def last(self, name: str) -> tuple[str, Any]:
        """The kind and the reason of a feature's last event."""
        event = self.events(name)[-1]
        return event["kind"], (event["detail"] or {}).get("reason")

    def kinds(self, name: str) -> list[str]:
        """The kinds of a feature's events, oldest first."""
        return [event["kind"] for event in self.events(name)]

    def rule(self, name: str, value: int) -> None:
        """Set a setting of the project."""
        rule(self.database, name, value)

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run git in the repository."""
        done = subprocess.run(
            ["git", *arguments], cwd=cwd or self.folder, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout.strip()

    def worktrees(self) -> list[str]:
        """The names of the worktrees, but for the checkout: what git knows, and what is on disk."""
        known = [
            line for line in self.git("worktree", "list", "--porcelain").splitlines() if line.startswith("worktree ")
        ]
        home = self.folder / ".dibs" / "worktrees"
        on_disk = {one.name for one in home.iterdir()} if home.exists() else set[str]()
        assert len(known) - 1 == len(on_disk), (known, on_disk)
        return sorted(on_disk)


@pytest.fixture
def new_project(
    migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Project]]:
    """Makes a repository with one commit and a backlog."""
    for name, value in (("NAME", "T"), ("EMAIL", "t@example.org")):
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    with ExitStack() as opened:

        def make(name: str = "project") -> Project:
            folder = tmp_path / name
            (folder / ".dibs").mkdir(parents=True)
            (folder / ".dibs" / ".gitignore").write_text("*\n")
            db = shutil.copy(migrated_file, folder / ".dibs" / "features.db")
            database = open_database(Settings(db=str(db)))
            opened.callback(database.close, patience=5)
            project = Project(folder, Shell(folder, {"DIBS_DB": str(db), "DIBS_AGENT": "ada"}), database)
            project.git("init", "--quiet", "--initial-branch", "main")
            project.git("commit", "--quiet", "--allow-empty", "--message", "first")
            return project

        yield make


@pytest.fixture
def project(new_project: Callable[..., Project]) -> Project:
    """A repository with one commit and a backlog."""
    return new_project()
