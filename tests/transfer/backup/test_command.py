"""`dibs backup` and `dibs restore`, run as a person runs them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dibs.transfer.backup import backup_name, rotate
from transfer.backup.commands import answered, backed_up, dibs, invoked, left_in
from transfer.copy.projects import is_live, opened, stage
from verbs.stage import add

SECRET = "not-to-be-told"


def test_they_say_what_was_done_and_where(db: str, tmp_path: Path) -> None:
    """The output names the file, its content and the released claims, without credentials."""
    with opened(db, "web") as old:
        stage(old)
    backup = dibs("backup", tmp_path, "--db", db, "--project", "web")
    assert (backup.returncode, backup.stderr) == (0, "")
    (made,) = tmp_path.glob("web.*.backup")
    for words in ("10 features", "events", str(made), "one snapshot", "contains 1 claim,"):
        assert words in backup.stdout
    assert made.stat().st_mode & 0o777 == 0o600
    restore = dibs("restore", made, "--to", tmp_path / "new.db", "--project", "web")
    assert (restore.returncode, restore.stderr) == (0, "")
    for words in ("10 features", "1 claim from the time of the backup ended: released.", "DIBS_PROJECT=web"):
        assert words in restore.stdout
    assert SECRET not in backup.stdout + restore.stdout
    assert is_live(str(tmp_path / "new.db"), "web")
    status = dibs("status", "--db", made, "--project", "web")
    assert "This is a backup of" in status.stdout


def test_the_newest_are_kept(db: str, tmp_path: Path) -> None:
    """Rotation removes only older backups of the same project whose names come from Dibs."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for each in (db, str(tmp_path / "features.db")):
        with opened(each) as old:
            add(old)
    stranger = folder / "features.20260101T000000.000Z.backup"
    stranger.touch()
    other = Path(backed_up(str(tmp_path / "features.db"), folder / backup_name("features")).file)
    made = [backed_up(db, folder / backup_name("features")) for _ in range(3)]
    rotate(folder, "features", made[2], 2)
    assert left_in(folder) == {Path(one.file).name for one in made[1:]} | {other.name, stranger.name}
    assert made[2].removed == [made[0].file]


@pytest.mark.only_on("sqlite", reason="a backup of a server has no default folder")
def test_a_backup_stands_beside_its_database(db: str) -> None:
    """Without a target the backup is named after the database and the time, and is created in its folder."""
    with opened(db) as old:
        add(old)
    first, made = answered("backup", "--db", db), answered("backup", "--db", db, "--keep", "1")
    assert made["removed"] == [first["file"]]
    assert Path(made["file"]).parent == Path(db).parent
    assert re.fullmatch(r"features\.\d{8}T\d{6}\.\d{3}Z\.backup", Path(made["file"]).name)
    assert (made["rows"]["features"], made["unsound"]) == (1, [])
    refused = invoked("restore", made["file"], "--db", db, "--json")
    assert refused.exit_code == 2
    assert json.loads(refused.stdout)["error"]["code"] == "invalid_input"
    assert invoked("backup", f"{db}.named", "--db", db, "--keep", "2").exit_code == 2
    assert answered("restore", made["file"], "--db", db, "--force")["aside"].endswith(".aside")
