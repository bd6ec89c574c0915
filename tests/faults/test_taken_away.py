"""Servers that lose write access refuse writes, stay alive, and lose nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dibs.database import open_database
from dibs.settings import Settings
from dibs_schema.refusals import ReadOnly
from faults.volumes import break_file_system, journalled, mount
from races.backlog import assert_sound, fill, kinds, long_form
from races.servers import serving, up

pytestmark = pytest.mark.only_on("sqlite", reason="these faults are those of a file; a server has tests of its own")

WRITES = (
    ("feature_mark_passing", {"feature_id": 1}),
    ("feature_mark_in_progress", {"feature_id": 2}),
    ("feature_add_note", {"feature_id": 3, "text": "a note"}),
    ("feature_create", {"category": "c", "name": "n", "description": "d", "steps": ["s"]}),
)


def made(db: Path) -> None:
    """A backlog of three features that no process has open."""
    database = open_database(Settings(db=str(db)))
    fill(database, 3)
    database.close(patience=5)


def assert_whole(db: Path) -> None:
    """Assert that counters, states and events agree, and that feature 1 was claimed and passed."""
    database = open_database(Settings(db=str(db)))
    assert_sound(database)
    assert kinds(database, 1) == ["create", "claim", "pass"]
    database.close(patience=5)


def test_a_file_system_that_goes_read_only_under_servers_is_named_and_costs_nothing(tmp_path: Path) -> None:
    """After an error the kernel takes no change: writes get `read_only`, reads go on, and no claim is lost."""
    with journalled(tmp_path / "disk") as disk:
        db = disk / "features.db"
        made(db)
        with serving(db) as start:
            busy, idle = up(start(), start())
            busy.call("feature_mark_in_progress", feature_id=1)
            break_file_system(disk)
            for server in (busy, idle):
                for tool, arguments in WRITES:
                    refusal = server.refusal(tool, **arguments)
                    assert isinstance(refusal, ReadOnly), (tool, refusal)
                assert server.call("feature_get_by_id", feature_id=1)["status"] == "in_progress"
        remount(disk)
        with serving(db) as start:
            assert start().call("feature_get_by_id", feature_id=1)["status"] == "in_progress"


def remount(disk: Path) -> None:
    """Unmount the file system and mount it again, as an administrator does; that repairs it."""
    import subprocess

    subprocess.run(["umount", disk], check=True)
    mount("-o", "loop", f"{disk.with_suffix('.img')}", f"{disk}")


def without_power_over_files() -> list[str]:
    """Return the command prefix for a server to which permissions apply, even if the tests run as root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv: root may write everywhere")
    powers = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}", "--"]


def of_the_files(db: Path, allowed: bool) -> None:
    """Allow or forbid access to the database's files."""
    for file in db.parent.glob("features.db*"):
        file.chmod(0o600 if allowed else 0o000)


def of_the_folder(db: Path, allowed: bool) -> None:
    """Allow or forbid access to the folder."""
    db.parent.chmod(0o700 if allowed else 0o000)


@pytest.mark.parametrize("permissions", [pytest.param(of_the_files, marks=long_form), of_the_folder])
def test_permissions_that_are_taken_away_under_servers_cost_nothing(
    tmp_path: Path, permissions: Callable[[Path, bool], None]
) -> None:
    """Servers continue with open files or report `read_only`, and so does a new server. Later all of them write again."""
    folder = tmp_path / "folder"
    folder.mkdir()
    db = folder / "features.db"
    made(db)
    prefix = without_power_over_files()
    with serving(db) as start:
        busy, idle = up(start(prefix=prefix), start(prefix=prefix))
        busy.call("feature_mark_in_progress", feature_id=1)
        permissions(db, False)
        try:
            for server in (busy, idle):
                refusal = server.refusal("feature_add_note", feature_id=3, text="a note")
                assert refusal is None or isinstance(refusal, ReadOnly), refusal
                assert "result" in server.message(server.ask("ping"))
            late = start(prefix=prefix)
            for tool in ("feature_get_stats", "feature_claim_and_get"):
                refusal = late.refusal(tool)
                assert isinstance(refusal, ReadOnly), refusal
        finally:
            permissions(db, True)
        assert busy.call("feature_mark_passing", feature_id=1)["status"] == "passing"
        assert idle.call("feature_claim_and_get")["feature"]["id"] == 2
        assert late.call("feature_get_stats")["total"] == 3
    assert_whole(db)
