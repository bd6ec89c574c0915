"""Fixtures for all tests: a fresh backlog, and real servers with real clients over real stdio."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from clusters.shared import ENGINES, HERE, Server, fresh_database, quick_folder, run_folder, shared_server
from dibs.client import Client, server_command
from dibs.client_session import VARIABLES
from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs_proof.raw_client import RawClient
from races.backlog import LONG, SLOWER
from systems.posix import POSIX_MODULES, skip_what_needs_posix

collect_ignore = [*POSIX_MODULES] if sys.platform == "win32" else []

for _name in [name for name in os.environ if name.startswith("DIBS_") and not name.startswith("DIBS_TEST_")]:
    del os.environ[_name]  # the tests do not use the developer's own settings
for _name in VARIABLES:
    os.environ.pop(_name, None)  # nor the session of an agent that runs them
RawClient.answer_timeout *= SLOWER
os.environ["DIBS_PROJECT"] = "default"  # also on a server, where the default is the folder's name


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--by-file`."""
    parser.addoption("--by-file", action="store_true", help="list the seconds and the tests of each file at the end")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """List for each file its seconds with set-up, their share, and its number of tests, if that was asked for."""
    if not config.getoption("by_file"):
        return
    seconds, tests = defaultdict[str, float](float), defaultdict[str, int](int)
    for report in [one for reports in terminalreporter.stats.values() for one in reports]:
        if isinstance(report, pytest.TestReport):
            file = report.nodeid.partition("::")[0]
            seconds[file] += report.duration
            tests[file] += report.when == "call"
    terminalreporter.section("seconds, share and tests of each file")
    whole = sum(seconds.values())
    for spent, file in sorted(((spent, file) for file, spent in seconds.items()), reverse=True):
        terminalreporter.write_line(f"{spent:8.1f} {spent / whole:6.1%} {tests[file]:5} {file}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is marked `only_on` one engine for every other engine, and products of parameters on PostgreSQL.

    There each value of each parameter is in one case or more; DIBS_TEST_LONG=1 runs all cases, as SQLite does always.
    """
    skip_what_needs_posix(items)
    there: dict[str, set[tuple[str, str]]] = defaultdict(set)
    kept, others = list[pytest.Item](), list[pytest.Item]()
    for item in items:
        (others if _is_elsewhere(item) or (not LONG and _adds_no_value(item, there)) else kept).append(item)
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = kept


def _adds_no_value(item: pytest.Item, there: dict[str, set[tuple[str, str]]]) -> bool:
    """Return whether earlier cases of its test have had each parameter's value on PostgreSQL, and remember its own."""
    call: Any = getattr(item, "callspec", None)  # pytest does not export its type
    if call is None or call.params.get("engine") != "postgresql":
        return False
    values = {(name, repr(value)) for name, value in call.params.items() if name != "engine"}
    known = there[item.nodeid.partition("[")[0]]
    adds_none = len(values) > 1 and values <= known
    known |= values
    return adds_none


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


@pytest.fixture(scope="session", params=HERE)
def engine(request: pytest.FixtureRequest) -> str:
    """The engine that a test runs on: each test runs on every engine, unless it is marked `only_on` one of them."""
    return str(request.param)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real PostgreSQL, started once for the whole run, or the server that DIBS_TEST_POSTGRES names."""
    with shared_server(run_folder(tmp_path_factory)) as server:
        yield server


@pytest.fixture(scope="session")
def migrated(postgres: Server) -> Iterator[str]:
    """The URL of a database with the schema and an empty project, from which others are copied."""
    with fresh_database(postgres) as url:
        _bring_up(url)
        yield url


@pytest.fixture(scope="session")
def in_memory() -> Iterator[Path]:
    """A folder in memory, if there is room: databases in it are synced as always, without waiting for a disk."""
    with tempfile.TemporaryDirectory(prefix="dibs-", dir=quick_folder()) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def migrated_file(in_memory: Path) -> Path:
    """A file with the schema and an empty project. Creating the schema takes ten times as long as opening a copy."""
    path = in_memory / "template.db"
    _bring_up(str(path))
    return path


def _bring_up(db: str) -> None:
    opened = open_database(Settings(db=db))
    opened.read_now(lambda _: None)
    opened.close(patience=5)


@contextmanager
def copied(file: Path) -> Iterator[str]:
    """Copy the file into its own folder, yield the copy's name, and remove the folder afterwards."""
    with tempfile.TemporaryDirectory(prefix="backlog-", dir=file.parent, ignore_cleanup_errors=True) as folder:
        yield str(shutil.copy(file, Path(folder) / "features.db"))


@pytest.fixture(scope="session")
def new_db(engine: str, request: pytest.FixtureRequest) -> Callable[[], AbstractContextManager[str]]:
    """Makes a database, and yields its name as `--db` takes it."""
    if engine == "sqlite":
        file: Path = request.getfixturevalue("migrated_file")
        return lambda: copied(file)
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
    """Makes the name of a database that no process has opened: a path without a file, or a database without tables."""
    if engine == "sqlite":
        numbers = count(1)
        return lambda: nullcontext(str(tmp_path / f"new-{next(numbers)}" / "features.db"))
    server = request.getfixturevalue("postgres")
    return lambda: fresh_database(server)


@pytest.fixture
def empty_db(new_empty_db: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The name of a database that no process has opened."""
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
