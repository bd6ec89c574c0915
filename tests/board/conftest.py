"""Fixtures of the board's tests: one board for each module, and a person whose browser knows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from board.people import BoardProcess, Person, board_on
from dibs.database import Database, open_database
from dibs.settings import Settings


@pytest.fixture(scope="module")
def board_db(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The database of a module's board."""
    with new_db() as name:
        yield name


@pytest.fixture(scope="module")
def database(board_db: str) -> Iterator[Database]:
    """The database of the module's board, opened by the tests."""
    opened = open_database(Settings(db=board_db))
    yield opened
    opened.close(patience=5)


@pytest.fixture(scope="module")
def board(board_db: str) -> Iterator[BoardProcess]:
    """A board on the module's database."""
    with board_on(board_db) as process:
        yield process


@pytest.fixture(scope="module")
def person(board: BoardProcess) -> Iterator[Person]:
    """A person whose browser knows the board."""
    with Person(board) as browser:
        yield browser.enter()
