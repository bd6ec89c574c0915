"""A live backlog is never overwritten, and a damaged backup is never restored."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from dibs.database.file_inspection import is_open_nowhere
from dibs_schema.refusals import (
    AlreadyClaimed,
    Busy,
    DatabaseDamaged,
    DatabaseReplaced,
    InvalidInput,
    NotFound,
    SchemaNewer,
)
from foreign import by_hand
from races.servers import serving
from transfer.backup.commands import backed_up, left_in, restored
from transfer.copy.projects import contents, is_live, opened
from verbs.stage import add, expire, token_of

A_FILE = pytest.mark.only_on("sqlite", reason="it is about a file that is in the way")
A_SERVER = pytest.mark.only_on("postgresql", reason="on a file it is the file that is set aside")


@pytest.fixture
def backup(db: str, tmp_path: Path) -> Path:
    """A backup of three features."""
    with opened(db) as old:
        add(old, 3)
    backed_up(db, tmp_path / "it.backup")
    return tmp_path / "it.backup"


def test_a_project_that_is_there_is_not_overwritten(db: str, backup: Path) -> None:
    """Without --force an existing project with the same name is refused."""
    with opened(db) as old:
        add(old)
        before = contents(old)
    with pytest.raises(InvalidInput, match="--force"):
        restored(backup, db)
    with opened(db) as old:
        assert contents(old) == before
    assert is_live(db)


@A_FILE
def test_a_file_that_a_server_has_open_is_not_replaced(db: str, backup: Path) -> None:
    """A file that a server uses is refused even with --force; the refusal names the process."""
    with serving(db) as start:
        server = start().ready()
        for force in (False, True):
            with pytest.raises(Busy, match=f"pid {server.process.pid} "):
                restored(backup, db, force=force)
        assert server.call("feature_mark_in_progress", feature_id=1)["status"] == "in_progress"
        assert server.finish() == 0
    done = restored(backup, db, force=True)
    assert done.aside is not None
    with opened(done.aside) as old:
        assert [one["status"] for one in contents(old)["features"]].count("pending") == 3
        assert len(contents(old)["events"]) == 5
    with opened(db) as new:
        assert len(contents(new)["events"]) == 3


@A_FILE
def test_a_killed_server_leaves_a_log_that_is_set_aside_with_its_file(db: str, backup: Path) -> None:
    """Commits that are only in the log are kept with the old file, and are not in the new one."""
    with serving(db) as start:
        server = start().ready()
        server.call("feature_mark_in_progress", feature_id=1)
        server.kill()
        server.status()
    assert Path(f"{db}-wal").stat().st_size > 0
    aside = restored(backup, db, force=True).aside
    assert aside is not None
    with opened(db) as new:
        assert [one["status"] for one in contents(new)["features"]] == ["pending"] * 3
    with opened(aside) as old:
        assert "in_progress" in [one["status"] for one in contents(old)["features"]]


@A_FILE
def test_the_log_of_a_file_that_is_gone_does_not_get_into_the_new_one(db: str, backup: Path) -> None:
    """The log of a deleted database is set aside, and the new database does not read it."""
    with serving(db) as start:
        server = start().ready()
        server.call("feature_mark_in_progress", feature_id=1)
        server.kill()
        server.status()
    Path(db).unlink()
    aside = restored(backup, db).aside
    assert aside is not None
    assert Path(f"{aside}-wal").exists()
    with opened(db) as new:
        assert [one["status"] for one in contents(new)["features"]] == ["pending"] * 3


@A_FILE
def test_a_damaged_file_is_set_aside(db: str, backup: Path) -> None:
    """A restore over a damaged file keeps that file, unchanged, under another name."""
    noise = random.Random(3).randbytes(40_000)
    Path(db).write_bytes(noise)
    aside = restored(backup, db, force=True).aside
    assert aside is not None
    assert Path(aside).read_bytes() == noise
    assert is_live(db)


@A_FILE
def test_a_file_that_holds_other_projects_too_is_not_set_aside(db: str, backup: Path) -> None:
    """--force does not set aside a file with other live projects."""
    with opened(db, "another") as other:
        add(other)
    with pytest.raises(InvalidInput, match="also has the projects another"):
        restored(backup, db, force=True)
    assert is_live(db, "another")


@A_SERVER
def test_a_project_on_a_server_makes_room_under_another_name(db: str, backup: Path) -> None:
    """With --force the old project keeps its rows and takes no writes. While agents hold claims in it, it is refused."""
    with opened(db) as old:
        token_of(old, 2)
        before = contents(old)
        with pytest.raises(AlreadyClaimed, match="2 by ada-2"):
            restored(backup, db, force=True)
        expire(old, 2)
        done = restored(backup, db, force=True)
        with pytest.raises(DatabaseReplaced):
            add(old)
    with opened(db) as new:
        assert len(contents(new)["events"]) == 3
        add(new)
    assert done.aside is not None
    with opened(db, done.aside) as aside:
        assert contents(aside)["events"] == before["events"]
        with pytest.raises(DatabaseReplaced, match="has moved"):
            add(aside)


def cut_off(file: Path) -> None:
    """Truncate the file, like a copy that ended too early."""
    os.truncate(file, file.stat().st_size // 2)


def overwrite(file: Path) -> None:
    """Overwrite the middle with noise."""
    with file.open("r+b") as opened_:
        opened_.seek(8 * 4096)
        opened_.write(random.Random(5).randbytes(4 * 4096))


def change_a_letter(file: Path) -> None:
    """Change a letter of a string, which no check of pages finds."""
    data = file.read_bytes()
    assert b"what it does" in data
    file.write_bytes(data.replace(b"what it does", b"what is does"))


def write_something_else(file: Path) -> None:
    """Replace the content by a file of another kind."""
    file.write_bytes(b"# Notes\n" * 1000)


@pytest.mark.parametrize("damage", [cut_off, overwrite, change_a_letter, write_something_else])
@A_FILE
def test_a_damaged_backup_is_not_restored(backup: Path, tmp_path: Path, damage: object) -> None:
    """A damaged backup is refused as `database_damaged`, and nothing is created."""
    assert callable(damage)
    damage(backup)
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(DatabaseDamaged):
        restored(backup, str(place / "new.db"))
    assert left_in(place) == set()


@A_FILE
def test_only_a_backup_is_restored(db: str, backup: Path, tmp_path: Path) -> None:
    """A live backlog, a missing file, and a backup from a newer Dibs are refused by name."""
    new = str(tmp_path / "new.db")
    with pytest.raises(InvalidInput, match="is not a backup"):
        restored(Path(db), new)
    with pytest.raises(NotFound):
        restored(tmp_path / "nothing", new)
    by_hand(str(backup), "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaNewer, match=r"it\.backup has schema 9999"):
        restored(backup, new)
    assert not Path(new).exists()


def test_a_backup_replaces_nothing_but_backups(db: str, backup: Path, tmp_path: Path) -> None:
    """A backup never replaces a live backlog, and it replaces another backup only with --force."""
    with pytest.raises(InvalidInput, match="--force"):
        backed_up(db, backup)
    other = tmp_path / "other.db"
    with opened(str(other)) as live:
        add(live)
    for force in (False, True):
        with pytest.raises(InvalidInput):
            backed_up(db, other, force=force)
    assert is_live(str(other))
    if "://" not in db:
        for own in (db, f"{db}-wal", f"{db}.lock"):
            with pytest.raises(InvalidInput, match="backlog itself"):
                backed_up(db, Path(own), force=True)
    with opened(db) as live:
        add(live)
    assert backed_up(db, backup, force=True).rows["features"] == 4


@A_FILE
def test_an_unsound_backlog_is_backed_up_and_says_so(db: str, tmp_path: Path) -> None:
    """A backlog with wrong counters is backed up too."""
    with opened(db) as old:
        add(old, 2)
    by_hand(db, "UPDATE features SET unmet_dependencies = 3 WHERE id = 2")
    assert backed_up(db, tmp_path / "it").unsound == ["counters"]
    assert restored(tmp_path / "it", str(tmp_path / "new.db")).unsound == ["counters"]


@A_FILE
def test_what_is_damaged_is_named(db: str, tmp_path: Path) -> None:
    """The refusal names the damaged file, not the target. For a truncated backup it suggests an older backup."""
    with opened(db) as database:
        add(database, 300)
    whole = Path(backed_up(db, tmp_path / "it.backup").file).read_bytes()
    (tmp_path / "taken").mkdir()
    with pytest.raises(InvalidInput, match="is a folder, not a regular file"):
        restored(tmp_path / "it.backup", str(tmp_path / "taken"))
    (tmp_path / "it.backup").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatabaseDamaged, match=r"it\.backup .*older backup"):
        restored(tmp_path / "it.backup", str(tmp_path / "live.db"))
    content = Path(db).read_bytes()
    Path(db).write_bytes(content[: 6 * 4096] + bytes(len(content) - 6 * 4096))
    with pytest.raises(DatabaseDamaged, match=re.escape(db)):
        backed_up(db, tmp_path / "another.backup")


@A_FILE
def test_who_has_it_open_is_seen_by_the_lock_alone(db: str) -> None:
    """An open database is detected even if its process has no id in this namespace."""
    with opened(db) as database:
        add(database)
    assert is_open_nowhere(Path(db))
    with serving(db) as start:
        start().ready()
        assert is_open_nowhere(Path(db)) is False
