"""What every test may use: a fresh backlog, and real servers with real clients over real stdio."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dibs.client import Client, server_command
from dibs.database import Database, open_database
from dibs.settings import Settings

for _name in [name for name in os.environ if name.startswith("DIBS_") and not name.startswith("DIBS_TEST_")]:
    del os.environ[_name]  # the developer's own settings stay outside


@pytest.fixture
def anyio_backend() -> str:
    """The event loop that the server runs on."""
    return "asyncio"


@pytest.fixture
def db(tmp_path: Path) -> str:
    """The name of a database that does not exist yet, as `--db` takes it."""
    return str(tmp_path / "features.db")


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
