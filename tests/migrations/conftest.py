"""What these tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def engine() -> str:
    """The embedded engine: these tests are about its file."""
    return "sqlite"
