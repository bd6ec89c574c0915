"""Backs up and restores, in this process or by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from dibs.cli import commands
from dibs.settings import Settings
from dibs.transfer.backup import BackedUp, back_up
from dibs.transfer.bulk import BulkDatabase
from dibs.transfer.restore import Restored, restore_project


def dibs(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `dibs`."""
    command = [sys.executable, "-m", "dibs", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def invoked(*arguments: object) -> Result:
    """Run `dibs` in this process, which is faster."""
    return CliRunner().invoke(commands, [str(one) for one in arguments])


def answered(*arguments: object) -> Any:
    """Run `dibs … --json` in this process, and return what it prints."""
    done = invoked(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def backed_up(db: str, target: Path, *, project: str = "default", force: bool = False) -> BackedUp:
    """Back up in this process."""
    return back_up(BulkDatabase(Settings(db=db, project=project)), target, force=force, progress=lambda *_: None)


def restored(backup: Path, db: str, *, project: str = "default", force: bool = False) -> Restored:
    """Restore in this process."""
    return restore_project(backup, Settings(db=db, project=project), force=force, progress=lambda *_: None)


def left_in(folder: Path) -> set[str]:
    """Return the names of the files in a folder."""
    return {one.name for one in folder.iterdir()}


def program(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a process of `transfer.backup.killed_restore`."""
    command = [sys.executable, "-m", "transfer.backup.killed_restore", *map(str, arguments)]
    tests = Path(__file__).parents[2]
    return subprocess.run(command, cwd=tests, capture_output=True, text=True, timeout=60, check=False)
