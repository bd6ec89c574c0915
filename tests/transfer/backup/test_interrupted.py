"""However a backup ends, there is a complete file or no file."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dibs.platform import file_systems
from dibs_schema.refusals import DiskFull, ReadOnly, UnsafeFilesystem
from faults.volumes import fill_up, volume
from foreign import by_hand
from races.backlog import eventually, fill, times
from transfer.backup.commands import backed_up, left_in, restored
from transfer.copy.projects import is_live, opened

pytestmark = pytest.mark.only_on("sqlite", reason="what is written is a file, whatever it is written from")

FEATURES = 2_000


@pytest.fixture
def large(db: str) -> str:
    """A backlog that takes a moment to read."""
    with opened(db) as database:
        for _ in range(FEATURES // 1_000):
            fill(database, 1_000)
    return db


def begin(db: str, target: Path) -> subprocess.Popen[bytes]:
    """Start `dibs backup`."""
    command = [sys.executable, "-m", "dibs", "backup", str(target), "--db", db]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def partial(folder: Path) -> list[Path]:
    """Return the path at which a backup is being made."""
    return list(folder.glob(".dibs-*.partial"))


def assert_whole(backup: Path) -> None:
    """Assert that the backup is sound and complete."""
    (check,) = by_hand(str(backup), "PRAGMA integrity_check")
    ((features,),) = by_hand(str(backup), "SELECT count(*) FROM features")
    assert (check, features) == (("ok",), FEATURES)


def test_a_killed_backup_leaves_a_whole_file_or_none(large: str, tmp_path: Path) -> None:
    """After SIGKILL at random moments, the next backup removes the remains next to the target."""
    chance = random.Random(7)
    folder = tmp_path / "folder"
    folder.mkdir()
    outcomes = set()
    for number in range(times(4, 100)):
        target = folder / f"{number}.backup"
        process = begin(large, target)
        eventually(lambda: partial(folder) or process.poll() is not None, within=60)  # noqa: B023 - called here
        time.sleep(chance.uniform(0, 0.9))
        process.kill()
        process.wait()
        outcomes.add(target.exists())
        if target.exists():
            assert_whole(target)
    assert False in outcomes, "no backup was cut off"
    backed_up(large, folder / "last.backup")
    assert partial(folder) == []
    assert_whole(folder / "last.backup")
    assert is_live(large)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT][: times(1, 2)])
def test_a_backup_that_is_told_to_end_leaves_nothing(large: str, tmp_path: Path, number: int) -> None:
    """A signal that can be handled removes the incomplete file, and the exit status is that of the signal."""
    folder = tmp_path / "folder"
    folder.mkdir()
    process = begin(large, folder / "it.backup")
    eventually(lambda: partial(folder), within=60)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert left_in(folder) == set()


def test_a_full_disk_leaves_nothing(large: str, tmp_path: Path) -> None:
    """Wherever the disk becomes full, the refusal is `disk_full`, and the disk is unchanged."""
    with volume(tmp_path / "disk", "4m") as disk:
        size = backed_up(large, tmp_path / "elsewhere").bytes
        filler = fill_up(disk)
        for room in (0, size // 8, size // 2, size, size + 20_000):
            with filler.open("r+b") as file:
                file.truncate((4 << 20) - room)
            with pytest.raises(DiskFull, match=r"space left to write .*/disk/it\.backup"):
                backed_up(large, disk / "it.backup")
            assert left_in(disk) == {"filler"}
        filler.unlink()
        backed_up(large, disk / "it.backup")
        assert_whole(disk / "it.backup")


def test_a_folder_that_takes_no_files_is_named(large: str, tmp_path: Path) -> None:
    """A target that cannot be created is refused as `read_only`, by its own name."""
    (tmp_path / "file").touch()
    with pytest.raises(ReadOnly, match="file"):
        backed_up(large, tmp_path / "file" / "it.backup")
    with pytest.raises(ReadOnly, match="/proc/it"):
        backed_up(large, Path("/proc/it.backup"))


def test_a_backup_goes_to_a_disk_on_which_no_database_works(
    db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backup is made on the machine's own disk, and then moved (here: to a file system that counts as a network's)."""
    with opened(db) as database:
        fill(database, 3)
    with volume(tmp_path / "disk", "4m") as disk:
        monkeypatch.setattr(file_systems, "_REMOTE", re.compile("tmpfs"))
        with pytest.raises(UnsafeFilesystem, match=r"live\.db is on tmpfs"):
            restored(Path(backed_up(db, disk / "it.backup").file), str(disk / "live.db"))
        assert left_in(disk) == {"it.backup"}
        assert (disk / "it.backup").stat().st_mode & 0o777 == 0o600
        assert restored(disk / "it.backup", str(tmp_path / "live.db")).rows["features"] == 3
        fill_up(disk)
        with pytest.raises(DiskFull):
            backed_up(db, disk / "another.backup")
        assert left_in(disk) == {"it.backup", "filler"}
