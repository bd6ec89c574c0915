"""The tests of other clients start their servers from the fork server, and several agents at once."""

from __future__ import annotations

import pytest

from forked import forked

__all__ = ["forked"]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The event loop that the clients run on."""
    return "asyncio"
