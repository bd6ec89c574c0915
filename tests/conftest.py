"""Fixtures for every test: a fresh backlog, and real servers with real clients over stdio."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from clusters.shared import Server, fresh_database, run_folder, shared_server
from dibs.client import Client, server_command
from dibs.database import Database, open_database
from dibs.settings import Settings

ENGINES = ("sqlite", "postgresql")

for _name in [name for name in os.environ if name.startswith("DIBS_") and not name.startswith("DIBS_TEST_")]:
    del os.environ[_name]  # the developer's own settings stay outside
os.environ["DIBS_PROJECT"] = "default"  # also on a server, where else it is the folder's name


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that are marked `only_on` another engine."""
    elsewhere = [item for item in items if _is_elsewhere(item)]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if not _is_elsewhere(item)]


def _is_elsewhere(item: pytest.Item) -> bool:
    mark = item.get_closest_marker("only_on")
    if mark is None:
        return False
    (only,), reason = mark.args, mark.kwargs.get("reason")
    assert only in ENGINES, f"{item.nodeid}: {only} is no engine"
    assert reason, f"{item.nodeid}: why is it only on {only}?"
    call: Any = getattr(item, "callspec", None)  # pytest does not export its type
    return call is not None and call.params.get("engine", only) != only


@pytest.fixture
def anyio_backend() -> str:
    """The event loop that the server runs on."""
    return "asyncio"


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The engine that a test runs on: each test on every one, unless it is marked `only_on` one of them."""
    return str(request.param)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real PostgreSQL, started once for the whole run, or the one that DIBS_TEST_POSTGRES names."""
    with shared_server(run_folder(tmp_path_factory)) as server:
        yield server


@pytest.fixture(scope="session")
def migrated(postgres: Server) -> Iterator[str]:
    """A database with the schema and an empty project, the template of others."""
    with fresh_database(postgres) as url:
        _bring_up(url)
        yield url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a file: creating the schema takes ten times as long as opening a copy."""
    path = tmp_path_factory.mktemp("template") / "features.db"
    _bring_up(str(path))
    return path


def _bring_up(db: str) -> None:
    opened = open_database(Settings(db=db))
    opened.read_now(lambda _: None)
    opened.close(patience=5)


@pytest.fixture(scope="session")
def new_db(
    engine: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], AbstractContextManager[str]]:
    """Yields the name of a new database, as `--db` takes it."""
    if engine == "sqlite":
        file: Path = request.getfixturevalue("migrated_file")
        return lambda: nullcontext(str(shutil.copy(file, tmp_path_factory.mktemp("backlog") / "features.db")))
    server, template = request.getfixturevalue("postgres"), request.getfixturevalue("migrated")
    return lambda: fresh_database(server, template)


@pytest.fixture
def db(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The name of a fresh database, as `--db` takes it."""
    with new_db() as name:
        yield name


@pytest.fixture
def new_empty_db(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[], AbstractContextManager[str]]:
    """Makes the name of a database without tables, or of a file that does not exist."""
    if engine == "sqlite":
        numbers = count(1)
        return lambda: nullcontext(str(tmp_path / f"new-{next(numbers)}" / "features.db"))
    server = request.getfixturevalue("postgres")
    return lambda: fresh_database(server)


@pytest.fixture
def empty_db(new_empty_db: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The name of a database without tables, or of a file that does not exist."""
    with new_empty_db() as name:
        yield name


@pytest.fixture
def database(db: str) -> Iterator[Database]:
    """A fresh, open database of this process."""
    opened = open_database(Settings(db=db))
    yield opened
    opened.close(patience=5)


@pytest.fixture
def serve(db: str) -> Callable[..., object]:
    """Start a real server on `db`: `async with serve("--lease", "2") as client`."""

    @asynccontextmanager
    async def start(*flags: str, **environment: str) -> AsyncIterator[Client]:
        async with Client.start(server_command("--db", db, *flags), environment) as client:
            yield client

    return start
