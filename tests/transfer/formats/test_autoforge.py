"""An AutoForge database is read completely, with the caller's SQLite library, and never written."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from dibs.transfer.formats import Backlog, read_backlog
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status

OLD = (
    "id INTEGER PRIMARY KEY, priority INTEGER, category VARCHAR(100), name VARCHAR(255), description TEXT, "
    "steps JSON, passes BOOLEAN"
)
TODAY = (
    f"{OLD}, in_progress BOOLEAN, dependencies JSON, needs_human_input BOOLEAN, human_input_request JSON, "
    "human_input_response JSON"
)
ROW = {
    "id": 1,
    "priority": 1,
    "category": "c",
    "name": "n",
    "description": "d",
    "steps": '["s"]',
    "passes": 0,
}
NOBODY = 65534


def build(path: Path, rows: list[dict[str, Any]], columns: str = TODAY, journal: str = "delete") -> Path:
    """Write a database with the given rows; missing columns have default values."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute(f"CREATE TABLE features ({columns})")
        for row in (ROW | row for row in rows):
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO features ({', '.join(row)}) VALUES ({marks})", list(row.values()))
        connection.commit()
    return path


def build_and_die(path: Path) -> Path:
    """Write a database in WAL mode in a process that is killed: its rows are in the log alone."""
    code = f"""
import os, sqlite3
connection = sqlite3.connect({str(path)!r})
connection.execute("PRAGMA journal_mode = wal")
connection.execute("CREATE TABLE features ({TODAY})")
connection.execute("INSERT INTO features (id, name) VALUES (7, 'in the log')")
connection.commit()
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert path.with_name(path.name + "-wal").stat().st_size > 0
    return path


def read(path: Path) -> Backlog:
    """Read with the standard library's module."""
    return read_backlog(path, sqlite3)


@contextmanager
def untouched(folder: Path, *, but: str = "") -> Iterator[None]:
    """Assert that no file of the folder comes, goes or changes."""

    def state() -> dict[str, str]:
        files = (path for path in folder.iterdir() if path.name != but)
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before, names = state(), set(folder.iterdir())
    yield
    assert state() == before
    assert set(folder.iterdir()) == names


def test_every_column_finds_its_place(tmp_path: Path) -> None:
    """Ids, order, descriptions, steps, dependencies and statuses are imported."""
    rows: list[dict[str, Any]] = [
        {"id": 5, "priority": 2, "passes": 1},
        {"id": 2, "priority": 9, "in_progress": 1, "dependencies": "[5]"},
        {"id": 9, "name": "third", "steps": '["one", "two"]', "dependencies": "[2, 5]", "category": "Login"},
    ]
    backlog = read(build(tmp_path / "features.db", rows))
    assert backlog.format == "AutoForge database"
    assert [feature.reference for feature in backlog.features] == ["2", "5", "9"]
    assert [feature.status for feature in backlog.features] == [
        Status.PENDING,
        Status.PASSING,
        Status.PENDING,
    ]
    assert [feature.priority for feature in backlog.features] == [9, 2, 1]
    third = backlog.features[2]
    assert (third.name, third.category, third.steps) == ("third", "Login", ["one", "two"])
    assert third.dependencies == ["2", "5"]
    assert "in_progress 1 -> pending (1)" in backlog.mapped or "in_progress true -> pending (1)" in backlog.mapped
    assert backlog.ignored == []


def test_who_waits_for_a_person_goes_on_waiting(tmp_path: Path) -> None:
    """A request keeps its fields; an answer that no agent has read yet is kept with its question."""
    request = {
        "prompt": "Which host?",
        "fields": [{"id": "host", "label": "Host", "type": "text", "required": True}],
    }
    answer = {"fields": {"host": "example.org"}, "responded_at": "2026-01-01T00:00:00"}
    rows: list[dict[str, Any]] = [
        {"id": 1, "needs_human_input": 1, "human_input_request": json.dumps(request)},
        {"id": 2, "human_input_request": json.dumps(request), "human_input_response": json.dumps(answer)},
        {"id": 3, "needs_human_input": 1, "human_input_request": "null"},
    ]
    waiting, answered, silent = read(build(tmp_path / "features.db", rows)).features
    assert (waiting.status, waiting.human_request) == (Status.NEEDS_HUMAN, request)
    assert (answered.status, answered.human_answer) == (Status.PENDING, {"host": "example.org"})
    assert silent.human_request is not None


def test_a_dependency_on_a_deleted_feature_is_left_out_and_reported(tmp_path: Path) -> None:
    """AutoForge deletes without cleaning up; that is no reason to refuse."""
    rows: list[dict[str, Any]] = [{"id": 1, "dependencies": "[404, 2]"}, {"id": 2}]
    backlog = read(build(tmp_path / "features.db", rows))
    assert backlog.features[0].dependencies == ["2"]
    assert backlog.ignored == ["the dependency of 1 on 404, which does not exist (1)"]


def test_a_circle_is_refused(tmp_path: Path) -> None:
    """A cycle of dependencies is refused, as in a list."""
    rows: list[dict[str, Any]] = [{"id": 1, "dependencies": "[2]"}, {"id": 2, "dependencies": "[1]"}]
    with pytest.raises(InvalidInput) as caught:
        read(build(tmp_path / "features.db", rows))
    assert caught.value.details["field"] == "features[id 2].dependencies[0]"


def test_an_old_file_lacks_columns(tmp_path: Path) -> None:
    """The first layout had no columns for work in progress, dependencies and people."""
    (feature,) = read(build(tmp_path / "features.db", [{"passes": 1}], OLD)).features
    assert (feature.status, feature.dependencies) == (Status.PASSING, [])


def test_nulls_and_odd_values_are_tolerated(tmp_path: Path) -> None:
    """Nulls, strings for JSON, blobs, fractions and invalid UTF-8 are read as far as possible."""
    rows: list[dict[str, Any]] = [
        dict.fromkeys(ROW, None) | {"id": 1, "name": "only a name"},
        {"id": 2, "steps": "first\nsecond", "dependencies": "", "priority": 2.5, "passes": "true"},
        {"id": 3, "steps": '"one text"', "name": b"\xffblob", "dependencies": "null"},
    ]
    backlog = read(build(tmp_path / "features.db", rows))
    first, second, third = backlog.features
    assert (first.name, first.description, first.category, first.steps) == (
        "only a name",
        "only a name",
        "general",
        [],
    )
    assert (second.steps, second.status) == (["first", "second"], Status.PASSING)
    assert (third.steps, third.name) == (["one text"], "\ufffdblob")


def test_strange_columns_are_reported(tmp_path: Path) -> None:
    """Unknown columns of a fork are reported as ignored, once each."""
    backlog = read(build(tmp_path / "features.db", [{"agent": "x"}], f"{TODAY}, agent TEXT"))
    assert backlog.ignored == ["agent of the table (1)"]


@pytest.mark.parametrize("journal", ["delete", "truncate", "persist", "wal"])
def test_nothing_is_written_in_or_beside_it(tmp_path: Path, journal: str) -> None:
    """In every journal mode the folder stays unchanged, byte for byte."""
    path = build(tmp_path / "features.db", [{}], journal=journal)
    with untouched(tmp_path):
        assert len(read(path).features) == 1


def test_a_log_that_a_killed_process_left_is_read(tmp_path: Path) -> None:
    """Rows that are only in the log are imported; only the log's temporary index may change."""
    path = build_and_die(tmp_path / "features.db")
    with untouched(tmp_path, but="features.db-shm"):
        assert [feature.name for feature in read(path).features] == ["in the log"]


def test_a_log_without_its_index_is_read_from_a_copy(tmp_path: Path) -> None:
    """A file and a log that were copied are read completely, and no index is created next to them."""
    path = build_and_die(tmp_path / "features.db")
    path.with_name("features.db-shm").unlink()
    with untouched(tmp_path):
        assert [feature.name for feature in read(path).features] == ["in the log"]


def test_an_interrupted_transaction_is_taken_back_in_a_copy(tmp_path: Path) -> None:
    """A rollback journal of a killed process is applied to a copy, and stays."""
    path = build(tmp_path / "features.db", [{"name": "before"}] + [{"id": n} for n in range(2, 500)])
    code = f"""
import os, sqlite3
connection = sqlite3.connect({str(path)!r}, isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("PRAGMA cache_spill = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE features SET name = 'after', description = hex(zeroblob(900))")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert path.with_name("features.db-journal").stat().st_size > 0
    with untouched(tmp_path):
        assert read(path).features[0].name == "before"


def test_a_database_in_use_without_news_is_left_alone(tmp_path: Path) -> None:
    """While another process has the database open and its log is empty, no file next to it is created or removed."""
    path = build(tmp_path / "features.db", [{}], journal="wal")
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM features").fetchone()
        with untouched(tmp_path, but="features.db-shm"):
            assert len(read(path).features) == 1


def test_a_database_in_use_is_read_with_its_latest_rows(tmp_path: Path) -> None:
    """While another process has the database open in WAL mode, its committed rows are imported."""
    path = build(tmp_path / "features.db", [{}], journal="wal")
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE features SET name = 'newest'")
        other.commit()
        assert read(path).features[0].name == "newest"


@pytest.mark.parametrize("state", ["clean", "left"])
def test_a_folder_that_cannot_be_written_is_no_hindrance(state: str) -> None:
    """A process without write permission reads the same rows, with or without a log."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "features.db"
        if state == "clean":
            build(path, [{"name": "in the log"}], journal="wal")
        else:
            build_and_die(path)
        for file in folder.iterdir():
            file.chmod(0o444)
        folder.chmod(0o555)
        with untouched(folder):
            assert names_read_by_nobody(path) == "in the log"
        folder.chmod(0o755)


def names_read_by_nobody(path: Path) -> str:
    """Read in a forked child without root's privileges, and return the names. Other users cannot start this interpreter."""
    result, report = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            told = ", ".join(feature.name for feature in read(path).features)
        except Exception as error:  # noqa: BLE001 - the parent tells it
            told = repr(error)
        os.write(report, told.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(report)
    with os.fdopen(result) as told_by_child:
        return told_by_child.read()


def test_a_locked_database_is_refused_as_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import waits for an exclusive lock, and is then refused because of the lock."""
    path = build(tmp_path / "features.db", [{}])
    monkeypatch.setattr("dibs.transfer.formats.sqlite_file.PATIENCE", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InvalidInput, match="another process has locked it"):
            read(path)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("CREATE TABLE tasks (id INTEGER)", "without a table `features`"),
        ("CREATE VIEW features AS SELECT 1 AS id, 'n' AS name", "without a table `features`"),
        (
            "CREATE TABLE features (project_id INTEGER, id INTEGER, name TEXT, unmet_dependencies INTEGER)",
            "Dibs database",
        ),
        ("CREATE TABLE features (flag TEXT)", "this is not an AutoForge database"),
    ],
)
def test_another_database_is_refused(tmp_path: Path, statement: str, says: str) -> None:
    """The refusal of another database says what it is."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    with pytest.raises(InvalidInput, match=says):
        read(path)


def test_a_damaged_database_is_refused_as_damaged(tmp_path: Path) -> None:
    """Overwritten pages and a file cut short are damage, not a fault."""
    path = build(tmp_path / "features.db", [{"id": n, "description": "x" * 900} for n in range(1, 100)])
    whole = path.read_bytes()
    for content in (whole[:4096] + b"\xff" * 8192 + whole[12288:], whole[:5000], whole[:100], whole[:16]):
        path.write_bytes(content)
        with pytest.raises(InvalidInput) as caught:
            read(path)
        assert "features.db: " in caught.value.message


def test_a_name_with_every_odd_character_is_opened(tmp_path: Path) -> None:
    """A path with blanks, percent signs, question marks and hashes is the same file to SQLite."""
    path = build(tmp_path / "a b%20?mode=rwc#x é.db", [{}])
    with untouched(tmp_path):
        assert len(read(path).features) == 1


def test_the_callers_library_is_the_only_one(tmp_path: Path) -> None:
    """A process that uses another SQLite library never gets the standard one loaded by an import."""
    if importlib.util.find_spec("pysqlite3") is None:
        pytest.skip("pysqlite3 has no wheel for this machine")
    path = build(tmp_path / "features.db", [{"name": "read by another"}], journal="wal")
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
import pysqlite3
from pathlib import Path
from dibs.transfer.formats import read_backlog
print(read_backlog(Path({str(path)!r}), pysqlite3).features[0].name, "_sqlite3" in sys.modules)
"""
    with untouched(tmp_path):
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("read by another False\n", "")
