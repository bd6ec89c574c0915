"""One backlog in this process for each module of tests, and new features for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from dibs.client import Backlog

New = Callable[..., Awaitable[int]]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The event loop that the client runs on."""
    return "asyncio"


@pytest.fixture(scope="module")
def shared_db(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The database of the module's backlog."""
    with new_db() as name:
        yield name


@pytest.fixture(scope="module")
async def backlog(shared_db: str, anyio_backend: str) -> AsyncIterator[Backlog]:
    """A backlog within this process, shared by the tests of one module."""
    async with Backlog.open(db=shared_db) as opened:
        yield opened


@pytest.fixture(scope="module")
async def other(shared_db: str, anyio_backend: str) -> AsyncIterator[Backlog]:
    """Another client of the same backlog."""
    async with Backlog.open(db=shared_db) as opened:
        yield opened


@pytest.fixture
def new(backlog: Backlog) -> New:
    """Makes a feature and returns its id."""

    async def make(**more: object) -> int:
        texts = {"category": "core", "name": "a feature", "description": "what it does", "steps": ["look"]}
        made = await backlog.create(**(texts | {"allow_duplicates": True} | more))  # type: ignore[arg-type]  # as the tests say
        return made.ids[0]

    return make
