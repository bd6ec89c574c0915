"""One database file for all tests of verbs, and in it a project of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dibs.database import Database, open_database
from dibs.settings import Settings


@pytest.fixture(scope="session")
def shared_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the tests share; migrating one for each of them would take most of their time."""
    return tmp_path_factory.mktemp("verbs") / "features.db"


@pytest.fixture
def database(shared_file: Path, request: pytest.FixtureRequest) -> Iterator[Database]:
    """An open database with an empty project."""
    project = f"{request.node.name[:80]} {id(request.node):x}"
    opened = open_database(Settings(db=str(shared_file), project=project))
    yield opened
    opened.close(patience=5)
