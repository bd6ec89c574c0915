"""The migrations make what the tables say, once, and a database that has it is left alone."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine

import dibs_schema.migrations
from dibs.database import Database, file_driver, open_database
from dibs.settings import Settings
from dibs.verbs.rules import get_rules
from dibs_schema.migrations.predicates import metadata_for
from dibs_schema.refusals import InvalidInput, SchemaNewer
from dibs_schema.status import Status
from dibs_schema.tables import HEAD
from verbs.stage import add, board, place, row


def scripts() -> ScriptDirectory:
    """The migrations as Alembic finds them."""
    config = Config()
    config.set_main_option("script_location", str(Path(dibs_schema.migrations.__file__).parent))
    return ScriptDirectory.from_config(config)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that the migrations made."""
    path = tmp_path_factory.mktemp("migrated") / "features.db"
    opened = open_database(Settings(db=str(path)))
    add(opened)
    opened.close(patience=5)
    return path


def engine_of(path: Path | str) -> Engine:
    """SQLAlchemy on a file, with the library of this process."""
    return create_engine(f"sqlite:///{path}", module=file_driver())


@pytest.fixture
def connection(migrated: Path) -> Iterator[Connection]:
    """A connection to the migrated database."""
    engine = engine_of(migrated)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def not_an_index(_object: Any, _name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:
    """Indexes are compared word for word below, since Alembic cannot read expressions back."""
    return kind != "index"


def test_the_tables_are_what_the_migrations_make(connection: Connection) -> None:
    """Alembic finds no difference between the tables in the code and those in a migrated database."""
    options = {"compare_type": True, "compare_server_default": True, "include_object": not_an_index}
    context = MigrationContext.configure(connection, opts=options)
    assert compare_metadata(context, metadata_for(connection.dialect.name)) == []


def definitions(connection: Connection) -> dict[str, list[str]]:
    """Each table and index of a database as its SQL, in parts whose order does not matter."""
    rows = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
    )
    found: dict[str, list[str]] = {}
    for name, sql in rows:
        parts = re.split(
            r"\n|, (?=\w+ [A-Z])", sql
        )  # a column that was added stands in the line of the one before
        lines = [re.sub(r"\s+", " ", line).strip().rstrip(",") for line in parts]
        found[name] = sorted(line for line in lines if line)
    return found


def test_every_index_and_constraint_is_the_same(connection: Connection, tmp_path: Path) -> None:
    """Predicates, expressions, directions and checks, which Alembic does not compare, are equal word for word."""
    engine = engine_of(tmp_path / "made.db")
    metadata_for(engine.dialect.name).create_all(engine)
    with engine.connect() as made:
        assert definitions(connection) == definitions(made)
    engine.dispose()


def test_the_code_knows_the_newest_migration() -> None:
    """`HEAD` is the only head of the migrations, which form one line and sort as they follow each other."""
    directory = scripts()
    assert directory.get_heads() == [HEAD]
    line = [script.revision for script in directory.walk_revisions()]
    assert line == sorted(line, reverse=True)


WARM = """
import sys
from dibs.database import open_database
from dibs.settings import Settings
from dibs.verbs.rules import get_rules
from dibs.verbs.note import add_note

database = open_database(Settings(db=sys.argv[1]))
database.read_now(get_rules)
if len(sys.argv) > 2:
    database.write_now(lambda tx: add_note(tx, "ada", 1, "a note"))
database.close(patience=5)
print(sorted(name for name in sys.modules if name.split(".")[0] in ("alembic", "mako")))
"""


def warm_start(path: Path, *flags: str) -> str:
    """Open, read (and write) and close a database in a process of its own; what it loaded of Alembic."""
    command = [sys.executable, "-c", WARM, str(path), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("flags", [(), ("write",)], ids=["reading", "writing"])
def test_a_warm_start_loads_nothing_of_alembic(migrated: Path, flags: tuple[str, ...]) -> None:
    """Who finds the database as it should be does not even import what would migrate it."""
    assert warm_start(migrated, *flags) == "[]"


def test_a_warm_start_writes_nothing(migrated: Path) -> None:
    """Opening, reading and closing leaves the file byte for byte, with its times, and no log beside it."""
    before = (
        hashlib.sha256(migrated.read_bytes()).digest(),
        migrated.stat().st_mtime_ns,
        migrated.stat().st_ino,
    )
    warm_start(migrated)
    after = (
        hashlib.sha256(migrated.read_bytes()).digest(),
        migrated.stat().st_mtime_ns,
        migrated.stat().st_ino,
    )
    assert after == before
    assert not Path(f"{migrated}-wal").exists()


def test_others_see_no_commit_of_a_warm_start(migrated: Path) -> None:
    """A process that has the database open sees no change when another one opens, reads and closes it."""
    watcher = file_driver().connect(str(migrated))
    try:
        before = watcher.execute("PRAGMA data_version").fetchall()
        watcher.execute("SELECT count(*) FROM features").fetchall()
        warm_start(migrated)
        assert watcher.execute("PRAGMA data_version").fetchall() == before
        warm_start(migrated, "write")
        assert watcher.execute("PRAGMA data_version").fetchall() != before
    finally:
        watcher.close()


def test_an_interrupted_migration_leaves_nothing(tmp_path: Path) -> None:
    """The schema and the project's row come in one transaction: a file without them is brought up anew."""
    path = tmp_path / "features.db"
    half = file_driver().connect(str(path), isolation_level=None)
    half.execute("PRAGMA journal_mode = WAL")  # as far as a process gets that dies before its first commit
    half.close()
    opened = open_database(Settings(db=str(path)))
    try:
        assert add(opened) == [1]
    finally:
        opened.close(patience=5)


def test_a_newer_schema_is_not_touched(tmp_path: Path) -> None:
    """A database that a newer version has migrated is refused, and stays at its version."""
    path = tmp_path / "features.db"
    opened = open_database(Settings(db=str(path)))
    add(opened)
    opened.close(patience=5)
    newer = file_driver().connect(str(path), isolation_level=None)
    newer.execute("UPDATE alembic_version SET version_num = '9999'")
    newer.close()
    late = open_database(Settings(db=str(path)))
    with pytest.raises(SchemaNewer):
        late.read_now(get_rules)
    late.close(patience=5)
    seen = file_driver().connect(str(path))
    assert seen.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    seen.close()


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    """A SQLite file with other tables is refused, and not a byte of it changes."""
    path = tmp_path / "places.sqlite"
    theirs = file_driver().connect(str(path))
    theirs.execute("CREATE TABLE places (name TEXT)")
    theirs.commit()
    theirs.close()
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
    opened = open_database(Settings(db=str(path)))
    with pytest.raises(InvalidInput) as caught:
        opened.read_now(get_rules)
    opened.close(patience=5)
    assert caught.value.details["field"] == "db"
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode) == before


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A fresh database."""
    opened = open_database(Settings(db=str(tmp_path / "features.db")))
    yield opened
    opened.close(patience=5)


def test_the_database_is_private(database: Database) -> None:
    """The file, its log and its door can be read and written by their owner alone."""
    add(database)
    for name in ("", "-wal", "-shm", ".lock"):
        assert Path(f"{database.label}{name}").stat().st_mode & 0o777 == 0o600, name


def test_the_folder_ignores_itself_in_git(tmp_path: Path) -> None:
    """A `.dibs` folder brings its own `.gitignore`, and an existing one is not overwritten."""
    path = tmp_path / ".dibs" / "features.db"
    for _ in range(2):
        opened = open_database(Settings(db=str(path)))
        opened.read_now(get_rules)
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
    ("a number that is none", Status.PENDING, "UPDATE features SET id = 0"),
    ("a feature on itself", Status.PENDING, "INSERT INTO dependencies VALUES (1, 1, 1)"),
    ("a dependency on nothing", Status.PENDING, "INSERT INTO dependencies VALUES (1, 1, 99)"),
    ("an unknown order", Status.PENDING, "UPDATE projects SET claim_order = 'random'"),
    ("a project without a name", Status.PENDING, "UPDATE projects SET name = ''"),
]


@pytest.mark.parametrize(
    ("status", "statement"), [case[1:] for case in FORBIDDEN], ids=[case[0] for case in FORBIDDEN]
)
def test_a_constraint_holds_against_any_writer(database: Database, status: Status, statement: str) -> None:
    """What must never be true of a row cannot be written, not even by hand."""
    on = place(database, status)
    before = row(database, on.id)
    foreign = file_driver().connect(database.label, isolation_level=None)
    foreign.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(file_driver().IntegrityError):
        foreign.execute(statement)
    foreign.close()
    assert row(database, on.id) == before


def test_a_reference_is_used_once_in_a_project(database: Database) -> None:
    """Two imported features of one project never share their own id."""
    one, two = add(database, 2)
    foreign = file_driver().connect(database.label, isolation_level=None)
    foreign.execute("UPDATE features SET reference = 'F-1' WHERE id = ?", (one,))
    with pytest.raises(file_driver().IntegrityError):
        foreign.execute("UPDATE features SET reference = 'F-1' WHERE id = ?", (two,))
    foreign.close()


def test_projects_of_one_database_do_not_meet(database: Database) -> None:
    """Two projects in one file have numbers, queues and rules of their own."""
    other = open_database(Settings(db=database.label, project="the other"))
    try:
        assert add(database, 2) == add(other, 2) == [1, 2]
        place(other, Status.PASSING)
        mine: list[dict[str, Any]] = board(database)["features"]
        assert [one["status"] for one in mine] == ["pending", "pending"]
    finally:
        other.close(patience=5)
