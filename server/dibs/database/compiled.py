"""Statements of hot paths, compiled once and passed to the driver directly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Executable, Table, insert
from sqlalchemy.engine import Connection, Dialect

Processor = Callable[[Any], Any]
StatementT = TypeVar("StatementT", bound=Executable)


COPIED = 20
"""Rows from which PostgreSQL receives them by COPY, which takes a quarter of the time of as many statements."""


def hot(statement: StatementT) -> StatementT:
    """Return a statement marked to bypass SQLAlchemy at each execution. It must not contain an expanding parameter.

    SQLAlchemy's work at each execution costs several times the engine's own (measured in
    docs/decisions/004-compiled-statements.md).
    """
    marked: StatementT = statement.execution_options(hot=True)
    return marked


class JSONText(str):
    """A JSON value as text, made before the transaction that inserts it."""

    __slots__ = ()

    @classmethod
    def of(cls, value: Any) -> JSONText:
        """Return the text of a value."""
        return cls(json.dumps(value))


def is_hot(statement: Executable) -> bool:
    """Return whether `hot` has marked the statement."""
    return bool(statement.get_execution_options().get("hot"))


class PreparedStatement:
    """A statement's SQL, the order of its parameters, and the conversions of parameters and columns."""

    __slots__ = ("_constants", "_dialect", "_keys", "_names", "_readers", "_types", "_writers", "text")

    def __init__(self, statement: Any, dialect: Dialect, columns: Sequence[str] | None = None) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=columns)
        self.text = str(compiled)
        self._names: tuple[str, ...] | None = tuple(compiled.positiontup) if compiled.positional else None
        self._constants: dict[str, Any] = dict(compiled.params)
        self._writers: dict[str, Processor] = {}
        for parameter, name in compiled.bind_names.items():
            processor = parameter.type.dialect_impl(dialect).bind_processor(dialect)
            if processor is not None:
                self._writers[name] = processor
        answered = list(statement.exported_columns) if compiled.returning or statement.is_select else []
        self._keys = tuple(column.key for column in answered)
        self._types = [column.type.dialect_impl(dialect) for column in answered]
        self._readers: list[tuple[str, Processor]] | None = None if answered else []
        self._dialect = dialect

    def values(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters as the driver takes them."""
        values = self._constants | parameters
        for name, write in self._writers.items():
            values[name] = write(values[name])
        return values

    def run(self, connection: Connection, parameters: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
        """Execute the statement. Returns all rows, and how many rows were changed."""
        with closing(_cursor(connection)) as cursor:
            cursor.execute(self.text, self._in_place(self.values(parameters)))
            rows = [dict(zip(self._keys, row, strict=True)) for row in cursor.fetchall()] if self._keys else []
            changed = cursor.rowcount
            if self._readers is None:
                self._readers = self._readers_of([column[1] for column in cursor.description or ()])
        for row in rows:
            for key, read in self._readers:
                row[key] = read(row[key])
        return rows, changed

    def tuples(self, connection: Connection, parameters: dict[str, Any]) -> Sequence[tuple[Any, ...]]:
        """Execute a query whose columns need no conversion. Returns all rows, at half the cost of `run`."""
        with closing(_cursor(connection)) as cursor:
            cursor.execute(self.text, self._in_place(self.values(parameters)))
            rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
        return rows

    def _in_place(self, values: dict[str, Any]) -> Any:
        """Return the values by name, or in the order of the statement's marks, as the driver takes them."""
        return values if self._names is None else tuple(map(values.__getitem__, self._names))

    def _readers_of(self, codes: Sequence[Any]) -> list[tuple[str, Processor]]:
        """Return the conversions of columns to values; they depend on the types that the driver reports."""
        processors = (one.result_processor(self._dialect, code) for one, code in zip(self._types, codes, strict=True))
        return [(key, one) for key, one in zip(self._keys, processors, strict=True) if one is not None]


class PreparedInsert(PreparedStatement):
    """The insertion of rows with certain columns."""

    __slots__ = ("_columns", "_copy")

    def __init__(self, table: Table, columns: tuple[str, ...], dialect: Dialect) -> None:
        super().__init__(insert(table), dialect, columns)
        self._columns = columns
        quote = dialect.identifier_preparer
        named = ", ".join(quote.format_column(table.c[name]) for name in columns)
        self._copy = f"COPY {quote.format_table(table)} ({named}) FROM STDIN" if dialect.driver == "psycopg" else None

    def run_for_each(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows. A JSONText is passed on as it is."""
        complete: list[dict[str, Any]] = []
        for row in rows:
            values = dict(row)
            for name, write in self._writers.items():
                if type(values[name]) is not JSONText:
                    values[name] = write(values[name])
            complete.append(values)
        with closing(_cursor(connection)) as cursor:
            if self._copy is None or len(rows) < COPIED:
                cursor.executemany(self.text, [self._in_place(values) for values in complete])
            else:
                with cursor.copy(self._copy) as copy:
                    for values in complete:
                        copy.write_row([values[name] for name in self._columns])


def _cursor(connection: Connection) -> Any:
    driver = connection.connection.dbapi_connection
    assert driver is not None, "a transaction holds its connection"
    return driver.cursor()


@lru_cache(maxsize=512)
def prepared(statement: Any, dialect: Dialect) -> PreparedStatement:
    """Return the statement as the driver takes it, prepared at its first execution."""
    return PreparedStatement(statement, dialect)


@lru_cache(maxsize=64)
def prepared_insert(table: Table, columns: tuple[str, ...], dialect: Dialect) -> PreparedInsert:
    """Return the insertion of rows with these columns, prepared at its first execution."""
    return PreparedInsert(table, columns, dialect)
