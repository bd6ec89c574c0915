"""After a killed restore the path has the complete old backlog or the complete restored one."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from foreign import by_hand
from races.backlog import fill
from transfer.backup.commands import backed_up, left_in, program
from transfer.copy.projects import opened
from verbs.stage import add

pytestmark = pytest.mark.only_on("sqlite", reason="it is about files and their names")

NAMES = "SELECT count(*), count(*) FILTER (WHERE name = 'acknowledged') FROM features"
OLD, RESTORED = (4, 1), (2, 0)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A folder with a backup of two features and a backlog of four, one of which is only in its log."""
    folder = tmp_path / "scene"
    folder.mkdir()
    for name, features in (("origin.db", 2), ("live.db", 3)):
        with opened(str(folder / name)) as database:
            fill(database, features)
    backed_up(str(folder / "origin.db"), folder / "it.backup")
    assert program("leave", folder / "live.db").returncode == -signal.SIGKILL
    assert (folder / "live.db-wal").stat().st_size > 0
    return folder


def test_a_restore_that_is_killed_at_any_step_leaves_one_whole_backlog(scene: Path, tmp_path: Path) -> None:
    """After each step the path has all acknowledged changes, or the whole restored backlog."""
    folders = tmp_path / "folders"
    folders.mkdir()
    run = program("each", scene, folders)
    assert run.returncode == 0, run.stderr
    statuses = json.loads(run.stdout)
    assert statuses == [-signal.SIGKILL] * (len(statuses) - 1) + [0]
    found = []
    for number in range(len(statuses)):
        folder = folders / str(number)
        (at_the_path,) = by_hand(str(folder / "live.db"), NAMES)
        found.append(at_the_path)
        inodes = [one.stat().st_ino for one in folder.iterdir() if one.is_file()]
        assert len(set(inodes)) == len(inodes), left_in(folder)
        if statuses[number] == 0:
            break
        with opened(str(folder / "live.db")) as database:
            add(database, 40)
        assert by_hand(str(folder / "live.db"), "PRAGMA integrity_check") == [("ok",)]
    assert found == sorted(found, reverse=True)
    assert set(found) == {OLD, RESTORED}
    (aside,) = folder.glob("live.db.*.aside")
    assert by_hand(str(aside), NAMES) == [OLD]
    assert not Path(f"{aside}-wal").exists()


def test_where_two_names_cannot_be_exchanged_at_once_nothing_is_lost(scene: Path, tmp_path: Path) -> None:
    """On such a file system, the path may have no backlog for a moment; the complete backlog is then next to it."""
    folder = Path(shutil.copytree(scene, tmp_path / "by-steps"))
    assert program("restore", folder / "it.backup", folder / "live.db", 1_000, "by-steps").returncode == 0
    assert by_hand(str(folder / "live.db"), NAMES) == [RESTORED]
    (aside,) = folder.glob("live.db.*.aside")
    assert by_hand(str(aside), NAMES) == [OLD]


def test_what_is_damaged_goes_aside_together_with_its_log(scene: Path) -> None:
    """A log that cannot be merged is kept next to its database."""
    with (scene / "live.db").open("r+b") as file:
        file.write(os.urandom(4096))
    log = (scene / "live.db-wal").read_bytes()
    assert program("restore", scene / "it.backup", scene / "live.db", 1_000).returncode == 0
    assert by_hand(str(scene / "live.db"), NAMES) == [RESTORED]
    (aside,) = scene.glob("live.db.*.aside")
    assert Path(f"{aside}-wal").read_bytes() == log
