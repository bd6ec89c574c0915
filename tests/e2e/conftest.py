"""Fixtures for the tests with real clients, which only `make e2e` runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dibs.registration.command import server_command
from e2e.backlog import Backlog
from e2e.clients import CLIENTS, Client, Place
from e2e.fetching import is_fetched, why_not

NewPlace = Callable[[list[str]], Place]
NewProject = Callable[[Backlog], Place]


@pytest.fixture(scope="session", autouse=True)
def _fetched() -> None:
    if not is_fetched():
        pytest.skip(why_not())


@pytest.fixture(scope="session", params=CLIENTS, ids=lambda one: one.name)
def client(request: pytest.FixtureRequest) -> Client:
    """Each client that a model drives."""
    found: Client = request.param
    return found


@pytest.fixture
def backlog(tmp_path: Path) -> Backlog:
    """An empty backlog."""
    return Backlog(tmp_path / "features.db")


@pytest.fixture(scope="session")
def new_place(tmp_path_factory: pytest.TempPathFactory) -> NewPlace:
    """Makes a temporary home and project, in which a server's command is registered."""
    return lambda command: Place.make(tmp_path_factory.mktemp("place"), command)


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory) -> NewProject:
    """Makes a temporary home and project, registered with a backlog by `dibs init`."""

    def make(backlog: Backlog) -> Place:
        return Place.make(tmp_path_factory.mktemp("place"), list(server_command().words), backlog.path)

    return make
