"""Fixtures for the tests of races."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from forked import forked
from races.servers import StartServer, serving

__all__ = ["forked"]


@pytest.fixture
def start(db: str) -> Iterator[StartServer]:
    """Start servers on the test's database: `start("--lease", "2")`. They are killed at the end."""
    with serving(db) as starter:
        yield starter
