"""What the races share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from forked import forked
from races.wire import Start, wires

__all__ = ["forked"]


@pytest.fixture
def start(db: str) -> Iterator[Start]:
    """Start servers on the test's database: `start("--lease", "2")`. They are killed at the end."""
    with wires(db) as starter:
        yield starter
