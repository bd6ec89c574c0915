"""Tables, views, triggers and indexes that somebody has added to a backlog are found, and not restored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.shells import Shell
from dibs_schema.refusals import InvalidInput
from foreign import by_hand
from transfer.backup.commands import backed_up, restored
from transfer.copy.projects import opened
from verbs.stage import add

pytestmark = pytest.mark.only_on("sqlite", reason="a backup is a file of its own")

ADDED = {
    "trigger theirs": "CREATE TRIGGER theirs AFTER INSERT ON events BEGIN UPDATE features SET name = 'owned'; END",
    "view theirs": "CREATE VIEW theirs AS SELECT * FROM features",
    "table theirs": "CREATE TABLE theirs (it)",
    "index theirs": "CREATE UNIQUE INDEX theirs ON features (category)",
}


@pytest.mark.parametrize("what", ADDED)
def test_what_somebody_has_added_is_named(db: str, tmp_path: Path, what: str) -> None:
    """A backup with it is refused and stays; `dibs doctor` reports it in a backlog, and else nothing of the kind."""
    with opened(db) as database:
        add(database)
    backup = Path(backed_up(db, tmp_path / "it.backup").file)
    shell = Shell(tmp_path)
    assert level(shell, db) == ("ok", False)
    assert level(shell, str(backup)) == ("ok", False)
    for file in (db, str(backup)):
        by_hand(file, ADDED[what])
        assert level(shell, file, what) == ("error", True)
    for target in (tmp_path / "new.db", tmp_path / "taken.db"):
        with pytest.raises(InvalidInput, match=f"has {what}"):
            restored(backup, str(target), force=target.name == "taken.db")
        assert not target.exists()


def test_a_view_in_place_of_a_table_is_not_read(db: str, tmp_path: Path) -> None:
    """A query of another's, which may never end, does not stand for the projects."""
    with opened(db) as database:
        add(database)
    backup = Path(backed_up(db, tmp_path / "it.backup").file)
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS name, NULL AS moved_to FROM n"
    )
    by_hand(str(backup), "ALTER TABLE projects RENAME TO old")
    by_hand(str(backup), f"CREATE VIEW projects AS {endless}")
    with pytest.raises(InvalidInput, match="not a backlog"):
        restored(backup, str(tmp_path / "new.db"))
    for command in ("status", "doctor", "backup"):
        assert Shell(tmp_path).dibs(command, "--db", backup).returncode == 2


def level(shell: Shell, db: str, what: str = "theirs") -> tuple[str, bool]:
    """Return the level of the finding about objects, and whether it names one."""
    findings = shell.dibs("doctor", "--db", db, "--json")
    (found,) = [one for one in json.loads(findings.stdout)["findings"] if one["check"] == "objects"]
    return found["level"], what in found["says"]
