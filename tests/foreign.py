"""Changes to a database by a foreign program, or by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any


@contextmanager
def connected(db: str) -> Iterator[Any]:
    """A connection of the engine's own library, on which each statement commits by itself."""
    if "://" in db:
        import psycopg

        with closing(psycopg.connect(db, autocommit=True)) as connection:
            yield connection
    else:
        from dibs.database import file_driver

        with closing(file_driver().connect(db, isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            yield connection


def by_hand(db: str, *statements: str) -> Sequence[tuple[Any, ...]]:
    """Run statements, and return the rows of the last statement."""
    with connected(db) as connection:
        for statement in statements:
            done = connection.execute(statement)
        return done.fetchall() if done.description else []
