"""What the tests with real clients share. They run by `make e2e` alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.backlog import Backlog
from e2e.clients import CLIENTS, Client, Place
from e2e.fetching import is_fetched, why_not

NewPlace = Callable[[list[str]], Place]


def pytest_itemcollected(item: pytest.Item) -> None:
    """One client's tests run one after the other in one process, beside those of the others, and who only waits apart."""
    name = next((one.name for one in CLIENTS if f"[{one.name}" in item.name), "others")
    item.add_marker(pytest.mark.xdist_group(f"{name} waits" if "wait_for_work" in item.name else name))
    item.add_marker(pytest.mark.timeout(240))


@pytest.fixture(scope="session", autouse=True)
def _fetched() -> None:
    if not is_fetched():
        pytest.skip(why_not())


@pytest.fixture(scope="session", params=CLIENTS, ids=lambda one: one.name)
def client(request: pytest.FixtureRequest) -> Client:
    """Each of the clients that a model drives."""
    found: Client = request.param
    return found


@pytest.fixture
def backlog(tmp_path: Path) -> Backlog:
    """An empty backlog."""
    return Backlog(tmp_path / "features.db")


@pytest.fixture(scope="session")
def new_place(tmp_path_factory: pytest.TempPathFactory) -> NewPlace:
    """Makes a throwaway home and project, where a server's command is registered."""
    return lambda command: Place.make(tmp_path_factory.mktemp("place"), command)
