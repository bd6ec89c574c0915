"""One database for all tests of verbs, with a separate project for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from dibs.database import Database, open_database
from dibs.settings import Settings


@pytest.fixture(scope="session")
def shared_db(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The database that the tests share; creating a database for each test would take most of the time."""
    with new_db() as name:
        yield name


@pytest.fixture
def database(shared_db: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """An open database with an empty project."""
    project = f"{request.node.name[:80]} {id(request.node):x}"
    opened = open_database(Settings(db=shared_db, project=project))
    yield opened
    opened.close(patience=5)
