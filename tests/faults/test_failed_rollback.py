"""A rollback that fails hides nothing: the caller receives the error that led to it, and the next call works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from dibs.database import Database, open_database
from dibs.database.transaction import Transaction
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput
from verbs.stage import add, row


@pytest.fixture
def database(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[Database]:
    """An open database with one connection for reading."""
    with new_db() as name:
        opened = open_database(Settings(db=name))
        yield opened
        opened.close(patience=5)


def _fail_without_connection(tx: Transaction) -> None:
    """Lose the connection within the transaction, so that it cannot be rolled back, and then raise a refusal."""
    lost = tx.connection.connection.dbapi_connection
    assert lost is not None
    lost.close()
    raise InvalidInput("This is the cause.", field="cause")


@pytest.mark.parametrize("call", ["read_now", "write_now"])
def test_a_failed_rollback_never_replaces_its_cause(database: Database, call: str) -> None:
    """The cause is raised, for reads and writes, and the lost connection is replaced."""
    (feature,) = add(database)
    assert row(database, feature)  # another connection stays open, which keeps the write-ahead log
    for _ in range(3):
        with pytest.raises(InvalidInput, match="This is the cause"):
            getattr(database, call)(_fail_without_connection)
    assert row(database, feature)["status"] == "pending"
    (second,) = add(database, name="another")
    assert second == feature + 1
