"""Fixtures for the tests of transfers: two databases on two engines, and a backlog to move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from clusters.shared import HERE, Server, fresh_database
from races.backlog import LONG

PAIRS = [(one, other) for one in HERE for other in HERE if LONG or one != other or len(HERE) == 1]
"""Pairs of different engines; with DIBS_TEST_LONG=1 also pairs of the same engine."""


@pytest.fixture
def new_place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """Names a database of the given engine that does not exist yet, or is empty."""
    with ExitStack() as opened:

        def make(engine: str) -> str:
            if engine == "sqlite":
                return str(tmp_path_factory.mktemp("place") / "features.db")
            server: Server = request.getfixturevalue("postgres")
            return opened.enter_context(fresh_database(server))

        yield make


@pytest.fixture(params=PAIRS, ids=[f"{one} to {other}" for one, other in PAIRS])
def pair(request: pytest.FixtureRequest, new_place: Callable[[str], str]) -> tuple[str, str]:
    """The source and the target of a copy; no process has opened either."""
    source, target = request.param
    return new_place(source), new_place(target)
