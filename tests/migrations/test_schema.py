"""The migrations create the tables of the code once, and leave a current database unchanged."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine

import dibs_schema.migrations
from dibs.database import Database, file_driver, open_database
from dibs.settings import Settings
from dibs.verbs.project_settings import get_settings
from dibs_schema.migrations.engine_tables import metadata_for
from dibs_schema.refusals import InvalidInput, SchemaNewer
from dibs_schema.status import Status
from dibs_schema.tables import HEAD, metadata
from foreign import by_hand
from verbs.stage import add, board, place, row


def scripts() -> ScriptDirectory:
    """Return the migrations as Alembic finds them."""
    config = Config()
    config.set_main_option("script_location", str(Path(dibs_schema.migrations.__file__).parent))
    return ScriptDirectory.from_config(config)


A_FILE = pytest.mark.only_on("sqlite", reason="it is about a file")
A_SERVER = pytest.mark.only_on("postgresql", reason="it is about a server")


@pytest.fixture(scope="module")
def made(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The name of a database that the migrations made, with one feature."""
    with new_db() as name:
        opened = open_database(Settings(db=name))
        add(opened)
        opened.close(patience=5)
        yield name


@contextmanager
def connected(db: str) -> Iterator[Connection]:
    """Open a connection of SQLAlchemy with the libraries of this process."""
    if "://" in db:
        engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(db))
    else:
        engine = create_engine(f"sqlite:///{db}", module=file_driver())
    with engine.connect() as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def connection(made: str) -> Iterator[Connection]:
    """A connection to the database that the migrations made."""
    with connected(made) as opened:
        yield opened


def not_an_index(_object: Any, _name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:
    """Leave out indexes: another test compares them word for word, because Alembic cannot read expressions back."""
    return kind != "index"


def test_the_tables_are_what_the_migrations_make(connection: Connection) -> None:
    """Alembic finds no difference between the tables in the code and those in a migrated database."""
    options = {"compare_type": True, "compare_server_default": True, "include_object": not_an_index}
    context = MigrationContext.configure(connection, opts=options)
    assert compare_metadata(context, metadata_for(connection.dialect.name)) == []


PARTS = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'",
    "postgresql": """
        SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
        UNION ALL SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
    """,
}
"""Queries for the SQL of an engine's tables, indexes and constraints."""


def definitions(connection: Connection) -> dict[str, list[str]]:
    """Return the SQL of each table, index and constraint of a database, as sorted parts."""
    rows = connection.exec_driver_sql(PARTS[connection.dialect.name])
    return {name: sorted(parts_of(sql)) for name, sql in rows}


def parts_of(sql: str) -> list[str]:
    """Return the parts of a statement between commas in the outermost brackets, and outside them, in any layout."""
    parts, depth = [""], 0
    for sign in re.sub(r"\s+", " ", sql):
        depth += (sign == "(") - (sign == ")")
        if sign in "(,)" and depth + (sign == ")") <= 1:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts if part.strip()]


def test_every_index_and_constraint_is_the_same(connection: Connection, empty_db: str) -> None:
    """Predicates, expressions, directions and checks, which Alembic does not compare, are equal word for word."""
    if "://" not in empty_db:
        Path(empty_db).parent.mkdir()
    with connected(empty_db) as made:
        metadata_for(made.dialect.name).create_all(made)
        expected = definitions(made)
        assert len(expected) > len(metadata.tables)
        assert definitions(connection) == expected


def test_the_code_knows_the_newest_migration() -> None:
    """`HEAD` is the only head of the migrations, which form one line and sort in their order."""
    directory = scripts()
    assert directory.get_heads() == [HEAD]
    line = [script.revision for script in directory.walk_revisions()]
    assert line == sorted(line, reverse=True)


WARM = """
import sys
from dibs.database import open_database
from dibs.settings import Settings
from dibs.verbs.project_settings import get_settings
from dibs.verbs.update import add_note

database = open_database(Settings(db=sys.argv[1]))
database.read_now(get_settings)
if len(sys.argv) > 2:
    database.write_now(lambda tx: add_note(tx, "ada", 1, "a note"))
database.close(patience=5)
print(sorted(name for name in sys.modules if name.split(".")[0] in ("alembic", "mako")))
"""


def warm_start(db: str, *flags: str) -> str:
    """Open, read (and write) and close a database in another process, and return its loaded modules of Alembic."""
    command = [sys.executable, "-c", WARM, db, *flags]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("flags", [(), ("write",)], ids=["reading", "writing"])
def test_a_warm_start_loads_nothing_of_alembic(made: str, flags: tuple[str, ...]) -> None:
    """A process that finds a current schema does not import Alembic."""
    assert warm_start(made, *flags) == "[]"


@A_FILE
def test_a_warm_start_writes_nothing(made: str) -> None:
    """Opening, reading and closing leaves the file's bytes and times unchanged, and creates no log."""

    def state() -> tuple[bytes, int, int]:
        file = Path(made)
        return hashlib.sha256(file.read_bytes()).digest(), file.stat().st_mtime_ns, file.stat().st_ino

    before = state()
    warm_start(made)
    assert state() == before
    assert not Path(f"{made}-wal").exists()


@A_SERVER
def test_a_warm_start_writes_no_row(made: str) -> None:
    """Opening, reading and closing changes no row."""

    def state() -> list[object]:
        return [by_hand(made, f"SELECT ctid, xmin FROM {table}") for table in (*metadata.tables, "alembic_version")]

    before = state()
    warm_start(made)
    assert state() == before
    warm_start(made, "write")
    assert state() != before


@A_FILE
def test_others_see_no_commit_of_a_warm_start(made: str) -> None:
    """A process that has the database open sees no change when another process opens, reads and closes it."""
    watcher = file_driver().connect(made)
    try:
        before = watcher.execute("PRAGMA data_version").fetchall()
        watcher.execute("SELECT count(*) FROM features").fetchall()
        warm_start(made)
        assert watcher.execute("PRAGMA data_version").fetchall() == before
        warm_start(made, "write")
        assert watcher.execute("PRAGMA data_version").fetchall() != before
    finally:
        watcher.close()


@A_FILE
def test_an_interrupted_migration_leaves_nothing(tmp_path: Path) -> None:
    """Schema and project row are created in one transaction, so a file without them is initialized."""
    path = tmp_path / "features.db"
    half = file_driver().connect(str(path), isolation_level=None)
    half.execute("PRAGMA journal_mode = WAL")  # as after the death of a process before its first commit
    half.close()
    opened = open_database(Settings(db=str(path)))
    try:
        assert add(opened) == [1]
    finally:
        opened.close(patience=5)


def test_a_newer_schema_is_not_touched(db: str) -> None:
    """A database that a newer version has migrated is refused, and stays at its version."""
    opened = open_database(Settings(db=db))
    add(opened)
    opened.close(patience=5)
    by_hand(db, "UPDATE alembic_version SET version_num = '9999'")
    late = open_database(Settings(db=db))
    with pytest.raises(SchemaNewer):
        late.read_now(get_settings)
    late.close(patience=5)
    assert by_hand(db, "SELECT version_num FROM alembic_version") == [("9999",)]


@A_FILE
def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    """A SQLite file with other tables is refused and stays unchanged."""
    path = tmp_path / "places.sqlite"
    theirs = file_driver().connect(str(path))
    theirs.execute("CREATE TABLE places (name TEXT)")
    theirs.commit()
    theirs.close()
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
    opened = open_database(Settings(db=str(path)))
    with pytest.raises(InvalidInput) as caught:
        opened.read_now(get_settings)
    opened.close(patience=5)
    assert caught.value.details["field"] == "db"
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode) == before


@A_FILE
def test_the_database_is_private(database: Database) -> None:
    """Only the owner can read and write the file, its log and its lock file."""
    add(database)
    for name in ("", "-wal", "-shm", ".lock"):
        assert Path(f"{database.label}{name}").stat().st_mode & 0o777 == 0o600, name


@A_FILE
def test_the_folder_ignores_itself_in_git(tmp_path: Path) -> None:
    """A `.dibs` folder brings its own `.gitignore`, and an existing one is not overwritten."""
    path = tmp_path / ".dibs" / "features.db"
    for _ in range(2):
        opened = open_database(Settings(db=str(path)))
        opened.read_now(get_settings)
        opened.close(patience=5)
        ignore = path.parent / ".gitignore"
        assert ignore.read_text().startswith("*")
        ignore.write_text("*\n!kept\n")
    assert ignore.read_text() == "*\n!kept\n"


CLAIMED = "claim_token = 't', claimed_by = 'a', claimed_at = 1, lease_clock = 'c', lease_ends = 1, lease_seconds = 1"
FORBIDDEN: list[tuple[str, Status, str]] = [
    ("an unknown status", Status.PENDING, "UPDATE features SET status = 'done'"),
    ("a claim without its columns", Status.PENDING, "UPDATE features SET status = 'in_progress'"),
    ("half a claim", Status.PENDING, f"UPDATE features SET status = 'in_progress', {CLAIMED}"),
    ("a token without a claim", Status.PENDING, "UPDATE features SET claim_token = 't'"),
    ("a session without a claim", Status.PASSING, "UPDATE features SET claim_session = 's'"),
    (
        "the end of a claim that keeps its columns",
        Status.IN_PROGRESS,
        "UPDATE features SET status = 'pending'",
    ),
    ("archived from nowhere", Status.PENDING, "UPDATE features SET status = 'archived'"),
    ("archived from a claim", Status.ARCHIVED, "UPDATE features SET archived_from = 'in_progress'"),
    ("restored with its origin", Status.ARCHIVED, "UPDATE features SET status = 'pending'"),
    ("waiting for nothing", Status.NEEDS_HUMAN, "UPDATE features SET human_request = NULL"),
    ("a counter below zero", Status.PENDING, "UPDATE features SET unmet_dependencies = -1"),
    ("attempts below zero", Status.PENDING, "UPDATE features SET attempts = -1"),
    ("failures below zero", Status.PENDING, "UPDATE features SET failures = -1"),
    ("skips below zero", Status.PENDING, "UPDATE features SET skips = -1"),
    ("a height below zero", Status.PENDING, "UPDATE features SET height = -1"),
    ("an empty name", Status.PENDING, "UPDATE features SET name = ''"),
    ("a long name", Status.PENDING, f"UPDATE features SET name = '{'x' * 256}'"),
    ("an empty category", Status.PENDING, "UPDATE features SET category = ''"),
    ("a long category", Status.PENDING, f"UPDATE features SET category = '{'x' * 101}'"),
    ("an empty description", Status.PENDING, "UPDATE features SET description = ''"),
    ("a long description", Status.PENDING, f"UPDATE features SET description = '{'x' * 20_001}'"),
    ("the id 0", Status.PENDING, "UPDATE features SET id = 0"),
    ("a feature on itself", Status.PENDING, "INSERT INTO dependencies VALUES (1, 1, 1)"),
    ("a dependency on nothing", Status.PENDING, "INSERT INTO dependencies VALUES (1, 1, 99)"),
    ("an unknown order", Status.PENDING, "UPDATE projects SET claim_order = 'random'"),
    ("a project without a name", Status.PENDING, "UPDATE projects SET name = ''"),
]


REFUSED = (file_driver().IntegrityError, psycopg.IntegrityError, psycopg.errors.StringDataRightTruncation)
"""The errors with which engines report a violated constraint."""


@pytest.mark.parametrize(("status", "statement"), [case[1:] for case in FORBIDDEN], ids=[case[0] for case in FORBIDDEN])
def test_a_constraint_holds_against_any_writer(database: Database, db: str, status: Status, statement: str) -> None:
    """Constraints prevent invalid rows, even from a foreign program."""
    on = place(database, status)
    before = row(database, on.id)
    with pytest.raises(REFUSED):
        by_hand(db, statement)
    assert row(database, on.id) == before


def test_a_reference_is_used_once_in_a_project(database: Database, db: str) -> None:
    """Two imported features of one project never share their own id."""
    one, two = add(database, 2)
    by_hand(db, f"UPDATE features SET reference = 'F-1' WHERE id = {one}")
    with pytest.raises(REFUSED):
        by_hand(db, f"UPDATE features SET reference = 'F-1' WHERE id = {two}")


def test_projects_of_one_database_do_not_meet(database: Database, db: str) -> None:
    """Two projects in one database have separate numbers, queues and settings."""
    other = open_database(Settings(db=db, project="the other"))
    try:
        assert add(database, 2) == add(other, 2) == [1, 2]
        place(other, Status.PASSING)
        mine: list[dict[str, Any]] = board(database)["features"]
        assert [one["status"] for one in mine] == ["pending", "pending"]
    finally:
        other.close(patience=5)
