"""A database that nobody has open is read without a log, until somebody opens it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dibs.database import Database, open_database
from dibs.database.transaction import Transaction
from dibs.queries.stats import get_stats
from dibs.settings import Settings
from races.backlog import fill

pytestmark = pytest.mark.only_on("sqlite", reason="a server has no files of its own")


@contextmanager
def opened(db: str, *, read_only: bool = False) -> Iterator[Database]:
    """Open a database, and close it at the end."""
    database = open_database(Settings(db=db), read_only=read_only)
    try:
        yield database
    finally:
        database.close(patience=5)


def total(tx: Transaction) -> int:
    """The number of features."""
    return get_stats(tx, "label").total


def test_a_reader_makes_no_file_and_sees_what_others_write_later(db: str) -> None:
    """Whether they still have it open or have closed it again."""
    with opened(db) as database:
        fill(database, 1)
    before = set(Path(db).parent.iterdir())
    with opened(db, read_only=True) as reader:
        assert reader.read_now(total) == 1
        assert set(Path(db).parent.iterdir()) == before
        with opened(db) as database:
            fill(database, 1)
        assert reader.read_now(total) == 2
        with opened(db) as database:
            fill(database, 1)
            assert reader.read_now(total) == 3
            fill(database, 1)
            assert reader.read_now(total) == 4


def test_a_read_during_which_others_write_is_repeated(db: str) -> None:
    """No page of a file that others change is trusted."""
    with opened(db) as database:
        fill(database, 1)
    seen: list[int] = []

    def disturbed(tx: Transaction) -> int:
        seen.append(total(tx))
        if len(seen) == 1:
            with opened(db) as database:
                fill(database, 1)
            os.utime(db)  # on a coarse clock too
        return total(tx)

    with opened(db, read_only=True) as reader:
        assert reader.read_now(disturbed) == 2
    assert seen == [1, 2]
