"""Shells in which tests run `dibs`, in this process if a separate process proves nothing more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from dibs.cli import commands


@dataclass(frozen=True)
class Ended:
    """The exit status and the output of a command."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Shell:
    """A folder in which a test runs `dibs`, with its own settings and without the developer's."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    def dibs(self, *arguments: object, typed: str = "", cwd: Path | None = None, **settings: str) -> Ended:
        """Run a command in this process."""
        given = {**dict.fromkeys(foreign_settings()), **self.settings, **settings}
        with chdir(cwd or self.folder):
            done = CliRunner().invoke(commands, list(map(str, arguments)), input=typed, env=given)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ended(done.exit_code, done.stdout, done.stderr)

    def start(self, *arguments: object, **settings: str) -> subprocess.Popen[str]:
        """Run a command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "dibs", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self, **settings: str) -> dict[str, str]:
        """The environment of a new process."""
        clean = {name: value for name, value in os.environ.items() if name not in foreign_settings()}
        return {**clean, **self.settings, **settings}

    def json(self, *arguments: object, status: int = 0, cwd: Path | None = None, **settings: str) -> Any:
        """Run `dibs … --json`, check its exit status, and return what it prints."""
        done = self.dibs(*arguments, "--json", cwd=cwd, **settings)
        assert done.returncode == status, done.stderr or done.stdout
        return json.loads(done.stdout)

    @property
    def db(self) -> str:
        """The name of the backlog."""
        return self.settings.get("DIBS_DB", str(self.folder / ".dibs" / "features.db"))


def foreign_settings() -> list[str]:
    """The settings that are in the environment of the tests."""
    return [name for name in os.environ if name.startswith("DIBS_") and not name.startswith("DIBS_TEST_")]
