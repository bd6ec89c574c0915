"""The first process that opens an older backlog migrates it, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy import select

import dibs_schema.migrations
from dibs.database import file_driver, open_database
from dibs.queries.audit import audit
from dibs.queries.follow import BEGINNING, follow
from dibs.rules.claimant import Holder
from dibs.settings import Settings
from dibs.verbs.claim import claim
from dibs_schema.answers import Claimed
from dibs_schema.tables import HEAD, features
from foreign import by_hand
from races.backlog import eventually
from transfer.backup.commands import backed_up, restored

FIRST = "0001"
PROJECT = (
    "INSERT INTO projects (name, generation, next_feature_id, next_question_id, claim_order, max_claims, "
    "max_claims_per_connection, max_failures, max_attempts, max_skips, max_dependencies, back_off, created_at) "
    "VALUES ('default', 'the first', 2, 1, 'priority', 1, 16, 3, 10, 3, 20, 30, 0)"
)
FEATURE = (
    "INSERT INTO features (project_id, id, status, priority, skips, unmet_dependencies, attempts, failures, created_by, "
    "created_at, updated_at, category, name, steps, description) "
    "VALUES (1, 1, 'pending', 1, 0, 0, 0, 0, 'planner', 0, 0, 'old', 'an old feature', '[]', 'text')"
)
EVENT = (
    "INSERT INTO events (project_id, feature_id, at, agent, kind, to_status) "
    "VALUES (1, 1, 0, 'planner', 'create', 'pending')"
)


@pytest.fixture
def old(new_empty_db: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """A backlog as the first version left it."""
    with new_empty_db() as name:
        if "://" in name:
            engine = sqlalchemy.create_engine(name.replace("postgresql://", "postgresql+psycopg://"))
        else:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            engine = sqlalchemy.create_engine(f"sqlite:///{name}", module=file_driver())
        with engine.begin() as connection:
            config = Config()
            config.set_main_option("script_location", str(Path(dibs_schema.migrations.__file__).parent))
            config.attributes["connection"] = connection
            command.upgrade(config, FIRST)
        engine.dispose()
        if "://" not in name:
            assert by_hand(name, "PRAGMA journal_mode = WAL") == [("wal",)]
        by_hand(name, PROJECT, FEATURE, EVENT)
        yield name


@pytest.mark.parametrize("writes_first", [True, False], ids=["written", "read"])
def test_the_first_version_is_brought_up(old: str, *, writes_first: bool) -> None:
    """After a first read or write of the backlog the schema is the newest, and nothing is lost."""
    database = open_database(Settings(db=old))
    try:
        assert database.exists()
        if not writes_first:
            assert database.read_now(lambda tx: tx.all(select(features.c.name))) == [{"name": "an old feature"}]
            eventually(
                lambda: len(database.read_now(lambda tx: follow(tx, BEGINNING))) == 1
            )  # behind older transactions
        answer = database.write_now(lambda tx: claim(tx, Holder("ada", named=True, session="s", lease=60)))
    finally:
        database.close(patience=5)
    assert isinstance(answer, Claimed)
    assert answer.feature.name == "an old feature"
    assert by_hand(old, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert by_hand(old, "SELECT generation FROM projects") == [("the first",)]


@pytest.mark.only_on("sqlite", reason="a server's project is read by its rows, which the newest schema names")
def test_the_first_version_is_backed_up_as_it_is(old: str, tmp_path: Path) -> None:
    """A backup does not migrate the backlog: only the copy is migrated."""
    backed_up(old, tmp_path / "it")
    assert by_hand(old, "SELECT version_num FROM alembic_version") == [(FIRST,)]
    new = str(tmp_path / "new.db")
    restored(tmp_path / "it", new)
    assert by_hand(new, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert by_hand(new, "SELECT name FROM features") == [("an old feature",)]


def test_databases_that_one_process_makes_at_once_do_not_mix(
    new_empty_db: Callable[[], AbstractContextManager[str]],
) -> None:
    """A program with several backlogs, such as a harness, may open them for the first time at the same time."""
    with ExitStack() as ended:
        names = [ended.enter_context(new_empty_db()) for _ in range(4)]
        opened = [open_database(Settings(db=name)) for name in names]
        for database in opened:
            ended.callback(partial(database.close, patience=5))
        with ThreadPoolExecutor(len(opened)) as threads:
            found = list(threads.map(lambda database: database.write_now(audit), opened))
    assert [one.unsound for one in found] == [[]] * 4
