"""The transaction that a verb receives, on one project."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Executable, Table, bindparam, insert, update
from sqlalchemy.engine import Connection, CursorResult
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ClauseElement

from dibs.database.compiled import is_hot, prepared, prepared_insert
from dibs.database.project_row import Project
from dibs_schema.tables import writers

Row = Mapping[Any, Any]
"""A row by the names of its columns."""


class TransactionStart(NamedTuple):
    """The state in which a transaction begins: the project, the schema's version, and the time.

    `now` is the wall clock and `reading` the lease clock, in seconds. Both are read under the transaction's lock; in
    autocommit they are extrapolated from the last transaction. No transaction below `horizon` can still commit: its
    events are complete. The default is above all transactions, for engines that number them in the order of their
    commits. `up` is the number of seconds since the database was last known to be unreachable. `even` is the number of
    seconds since the wall clock last jumped.
    """

    project: Project | None
    schema: str | None
    now: float
    reading: float
    horizon: int = 1 << 62
    up: float = math.inf
    even: float = math.inf


class Transaction:
    """A connection inside a transaction, its project, and the time at which it began.

    `now` is the wall clock in seconds and `reading` the lease clock of the domain `clock`, both read after BEGIN.
    `token_name` is the name of the access token that the caller used, or None. A statement receives each of the
    parameters `project`, `now`, `clock`, `reading`, `horizon`, `up`, `even` and `token_name` that it names. A verb sets
    `wakes` if waiting claims should look again, and `grows` if it has inserted so many rows that the planner's
    statistics must be updated. It sets `applied` after a statement that has committed by itself: a later failure must
    not repeat the verb. `snapshot` is what was read for the verb after it raised `SnapshotNeeded`.
    """

    __slots__ = (
        *("applied", "clock", "connection", "grows", "now", "parameters", "project", "reading", "snapshot", "wakes"),
    )

    def __init__(
        self,
        connection: Connection,
        project: Project,
        clock: str,
        start: TransactionStart,
        token_name: str | None = None,
    ) -> None:
        self.connection = connection
        self.project = project
        self.clock = clock
        self.reading = start.reading
        self.now = start.now
        self.wakes = self.grows = self.applied = False
        self.snapshot: object = None
        self.parameters = {
            "project": project.id,
            "now": self.now,
            "clock": self.clock,
            "reading": self.reading,
            "horizon": start.horizon,
            "up": start.up,
            "even": start.even,
            "token_name": token_name,
        }

    def all(self, statement: Executable, **parameters: Any) -> Sequence[Row]:
        """Return every row."""
        if is_hot(statement):
            return self._run_hot(statement, parameters)[0]
        return self._execute(statement, parameters).mappings().all()

    def tuples(self, statement: Executable, **parameters: Any) -> Sequence[tuple[Any, ...]]:
        """Return every row of a hot query, whose columns need no conversion, as a tuple. For thousands of rows."""
        return prepared(statement, self.connection.dialect).tuples(self.connection, self.parameters | parameters)

    def first(self, statement: Executable, **parameters: Any) -> Row | None:
        """Return the first row, or None."""
        rows = self.all(statement, **parameters)
        return rows[0] if rows else None

    def value(self, statement: Executable, **parameters: Any) -> Any:
        """Return the first column of the first row, or None."""
        row = self.first(statement, **parameters)
        return next(iter(row.values())) if row is not None else None

    def run(self, statement: Executable, **parameters: Any) -> int:
        """Return how many rows the statement changed."""
        if is_hot(statement):
            return self._run_hot(statement, parameters)[1]
        return self._execute(statement, parameters).rowcount

    def insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows that all have the same columns."""
        if rows:
            prepared_insert(table, tuple(rows[0]), self.connection.dialect).run_for_each(self.connection, rows)

    def _run_hot(self, statement: Executable, parameters: dict[str, Any]) -> tuple[Sequence[Row], int]:
        return prepared(statement, self.connection.dialect).run(self.connection, self.parameters | parameters)

    def _execute(self, statement: Executable, parameters: dict[str, Any]) -> CursorResult[Any]:
        common = {name: self.parameters[name] for name in _named_parameters(statement)}
        return self.connection.execute(statement, common | parameters)


@lru_cache(maxsize=1024)
def _named_parameters(statement: ClauseElement) -> frozenset[str]:
    """Return which of the common parameters a statement names."""
    named = {element.key for element in visitors.iterate(statement) if isinstance(element, BindParameter)}
    return PARAMETERS & named


PARAMETERS = frozenset({"project", "now", "clock", "reading", "horizon", "up", "even", "token_name"})


def record_writer(transaction: Transaction, library: str, process: str) -> None:
    """Record which library this process writes with, so that `dibs doctor` can name an unsound one."""
    row = {"library_": library, "process_": process[:200]}
    if not transaction.run(_update_writer, **row):
        transaction.run(_insert_writer, **row)


_seen: dict[str, BindParameter[Any]] = {"process": bindparam("process_"), "seen_at": bindparam("now")}
_update_writer = (
    update(writers)
    .where(writers.c.project_id == bindparam("project"), writers.c.library == bindparam("library_"))
    .values(_seen)
)
_insert_writer = insert(writers).values(project_id=bindparam("project"), library=bindparam("library_"), **_seen)
