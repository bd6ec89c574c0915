"""Fixtures for the tests of faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from races.servers import StartServer, serving


@pytest.fixture
def start(db: str) -> Iterator[StartServer]:
    """Start servers on the test's database: `start("--lease", "2")`. They are killed at the end."""
    with serving(db) as starter:
        yield starter
