"""One server for each module of tests, with a second connection to its database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from mcp.types import CallToolResult, TextContent

from dibs.client import Client, server_command
from dibs.database import Database, open_database
from dibs.settings import Settings
from forked import forked

__all__ = ["forked"]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The event loop that the server runs on."""
    return "asyncio"


@pytest.fixture(scope="module")
def shared_db(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The database that the module's server serves."""
    with new_db() as name:
        yield name


@pytest.fixture(scope="module")
async def server(shared_db: str, anyio_backend: str) -> AsyncIterator[Client]:
    """A client of a server with every tool, shared by the tests of one module."""
    async with Client.start(server_command("--db", shared_db)) as client:
        await client.call("feature_get_stats")  # the database has been created
        yield client


@pytest.fixture(scope="module")
def backlog(shared_db: str, server: Client) -> Iterator[Database]:
    """The shared server's database, opened by the test for set-up and checks."""
    opened = open_database(Settings(db=shared_db))
    yield opened
    opened.close(patience=5)


def both_channels(result: CallToolResult) -> dict[str, Any]:
    """Return an answer's data, after checking that structured content and text are the same."""
    (content,) = result.content
    assert isinstance(content, TextContent)
    data: dict[str, Any] | None = result.structured_content
    assert data is not None
    assert content.text == json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return data
