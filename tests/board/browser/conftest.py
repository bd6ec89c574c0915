"""Fixtures of the browser's tests: one browser for each module, and real agents on its board's database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from board.browser.windows import CHROMIUM, NOT_INSTALLED, Windows, chromium
from board.people import BoardProcess
from races.servers import StartServer, serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser. It ends with the module, since the tests of other modules need the thread's event loop."""
    if CHROMIUM is None:
        pytest.skip(NOT_INSTALLED)
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def start(board_db: str) -> Iterator[StartServer]:
    """Start agents' servers on the board's database: `start("--agent", "ada")`. They are killed at the end."""
    with serving(board_db) as starter:
        yield starter


@pytest.fixture(scope="module")
def known(browser: Browser, board: BoardProcess) -> Windows:
    """A browser that knows the board's key."""
    return Windows(browser, board)


@pytest.fixture
def windows(known: Windows) -> Iterator[Windows]:
    """Opens windows on the board for one test; afterwards no fault may have happened in them."""
    yield known
    known.close()
    faults, known.faults = known.faults, []
    assert faults == []
