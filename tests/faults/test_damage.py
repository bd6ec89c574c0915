"""A damaged file, or another kind of file, is refused with its cause and stays unchanged."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dibs.database import file_driver, open_database
from dibs.settings import Settings
from dibs_schema.refusals import DatabaseDamaged, InvalidInput
from races.backlog import fill
from races.servers import ServerClient, StartServer
from verbs.stage import add

pytestmark = pytest.mark.only_on("sqlite", reason="these faults are those of a file; a server has tests of its own")

CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("feature_claim_and_get", {}),
    ("feature_mark_in_progress", {"feature_id": 150}),
    ("feature_get_by_id", {"feature_id": 150}),
    ("feature_search", {"text": "name"}),
    ("feature_get_history", {"feature_id": 150}),
)


def make(db: str) -> Path:
    """Make a database of many pages that no process has open."""
    database = open_database(Settings(db=db))
    fill(database, 300)
    database.close(patience=5)
    return Path(db)


def overwrite_the_middle(db: Path) -> None:
    """Overwrite everything except the first pages and the last page with noise."""
    size = db.stat().st_size
    with db.open("r+b") as file:
        file.seek(6 * 4096)
        file.write(random.Random(5).randbytes(size - 7 * 4096))


def overwrite_the_schema(db: Path) -> None:
    """Overwrite the first page, except the header, with noise."""
    with db.open("r+b") as file:
        file.seek(100)
        file.write(random.Random(5).randbytes(3996))


def cut_off(db: Path) -> None:
    """Truncate the file, like a copy that ended too early."""
    os.truncate(db, db.stat().st_size // 2 // 4096 * 4096)


def write_something_else(db: Path) -> None:
    """Replace the content by a file of another kind."""
    db.write_bytes(b"# Notes\n\nThis is no database.\n" * 400)


@pytest.mark.parametrize("damage", [overwrite_the_middle, overwrite_the_schema, cut_off, write_something_else])
def test_damage_is_called_damage_and_nothing_is_repaired(
    db: str, start: StartServer, damage: Callable[[Path], None]
) -> None:
    """Every call that reads the damage gets `database_damaged`, never busy, and the file stays unchanged."""
    file = make(db)
    damage(file)
    before = sha256(file.read_bytes()).hexdigest()
    server = start()
    found = [server.refusal(tool, **arguments) for tool, arguments in CALLS]
    assert {type(one) for one in found} - {type(None)} == {DatabaseDamaged}, found
    assert isinstance(found[1], DatabaseDamaged)
    assert isinstance(found[2], DatabaseDamaged)
    for one in found:
        assert one is None or not one.retryable
    assert_alive(server)
    assert server.finish() == 0
    assert sha256(file.read_bytes()).hexdigest() == before


def assert_alive(server: ServerClient) -> None:
    """Assert that the server still answers, so that the agent gets the refusal."""
    assert "result" in server.message(server.ask("ping"))
    assert "result" in server.message(server.ask("tools/list"))


def test_damage_under_a_running_server_is_called_damage(db: str, start: StartServer) -> None:
    """A page that is damaged while a server runs is reported when it is read, and the server continues."""
    file = make(db)
    server = start()
    server.call("feature_get_stats")
    overwrite_the_middle(file)
    assert isinstance(server.refusal("feature_get_by_id", feature_id=150), DatabaseDamaged)
    assert isinstance(server.refusal("feature_mark_in_progress", feature_id=150), DatabaseDamaged)
    assert_alive(server)


def test_the_database_of_another_program_is_left_alone(db: str, start: StartServer) -> None:
    """A SQLite file that is no backlog is refused and not migrated."""
    Path(db).unlink()
    connection = file_driver().connect(db)
    connection.execute("CREATE TABLE features (id INTEGER PRIMARY KEY, name TEXT)")
    connection.execute("INSERT INTO features VALUES (1, 'theirs')")
    connection.commit()
    connection.close()
    server = start()
    assert isinstance(server.refusal("feature_claim_and_get"), InvalidInput)
    assert_alive(server)
    assert server.finish() == 0
    connection = file_driver().connect(db)
    assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("features",)]
    assert connection.execute("SELECT * FROM features").fetchall() == [(1, "theirs")]
    connection.close()


def test_a_server_serves_the_backup_that_is_put_in_the_place_of_a_damaged_file(db: str, start: StartServer) -> None:
    """Each call tries to open the database again."""
    file = make(db)
    sound = file.read_bytes()
    write_something_else(file)
    server = start()
    assert isinstance(server.refusal("feature_get_stats"), DatabaseDamaged)
    file.write_bytes(sound)
    assert server.call("feature_get_stats")["total"] == 300
    assert server.call("feature_claim_and_get")["state"] == "claimed"


@pytest.mark.parametrize(
    ("where", "by"),
    [(b"what to do", b"\xff\xfe\xfd"), (b'["look"', b'["look\\')],
    ids=["no UTF-8", "no JSON"],
)
def test_a_text_that_is_none_is_called_damage(db: str, start: StartServer, where: bytes, by: bytes) -> None:
    """A TEXT value that is not valid UTF-8 is refused as damage, and `dibs doctor` names its row."""
    database = open_database(Settings(db=db))
    add(database, 3, description="what to do", steps=["look"])
    database.close(patience=5)
    file = Path(db)
    content = file.read_bytes()
    place = content.rfind(where)
    assert place > 0
    file.write_bytes(content[:place] + by + content[place + len(by) :])
    before = sha256(file.read_bytes()).hexdigest()
    server = start()
    found = [server.refusal("feature_get_by_id", feature_id=number) for number in (1, 2, 3)]
    assert [type(one) for one in found].count(DatabaseDamaged) == 1
    assert [type(one) for one in found].count(type(None)) == 2
    doctor = subprocess.run(
        [sys.executable, "-m", "dibs", "doctor", "--db", db, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    (told,) = [one for one in json.loads(doctor.stdout)["findings"] if one["check"] == "texts"]
    assert (doctor.returncode, told["level"]) == (2, "error")
    assert "of features 1." in told["says"]
    assert sha256(file.read_bytes()).hexdigest() == before


DOCTOR = [sys.executable, "-m", "dibs", "doctor", "--quarantine", "--json", "--db"]


def test_a_file_that_was_cut_off_is_left_alone(db: str) -> None:
    """SQLite cannot copy it page by page: that is said, and no copy is made."""
    file = make(db)
    cut_off(file)
    before = file.read_bytes()
    said = subprocess.run([*DOCTOR, str(file)], capture_output=True, text=True, check=False)
    assert said.returncode != 0
    assert "cannot be copied page by page" in said.stdout + said.stderr
    assert file.read_bytes() == before
    assert not Path(f"{file.resolve()}.damaged").exists()


@pytest.mark.parametrize("damage", [overwrite_the_middle, overwrite_the_schema])
def test_a_damaged_file_is_kept_once(db: str, start: StartServer, damage: Callable[[Path], None]) -> None:
    """The copy has the pages of the damaged file, which is only read; a second copy never replaces it."""
    file = make(db)
    damage(file)
    before = file.read_bytes()
    copy = Path(f"{file.resolve()}.damaged")
    told = str(start().refusal("feature_get_by_id", feature_id=150))
    assert "dibs doctor --quarantine" in told
    said = subprocess.run([*DOCTOR, str(file)], capture_output=True, text=True, check=False)
    assert said.returncode == 2, said.stderr
    assert str(copy) in said.stdout
    assert file.read_bytes() == before
    assert len(copy.read_bytes()) >= len(before)
    assert copy.stat().st_mode & 0o077 == 0
    kept = copy.read_bytes()
    file.write_bytes(before[: len(before) // 2])
    subprocess.run([*DOCTOR, str(file)], capture_output=True, check=False)
    assert copy.read_bytes() == kept
    assert str(copy) in str(start().refusal("feature_get_by_id", feature_id=150))
