"""What a verb is given: one transaction on one project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    Executable,
    MetaData,
    String,
    Table,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Connection, CursorResult
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ClauseElement

from dibs.database.clock import LeaseClock
from dibs.database.prepared import hot, is_hot, prepared
from dibs_schema.refusals import DatabaseReplaced, SchemaNewer
from dibs_schema.tables import HEAD, projects, writers

_version = Table("alembic_version", MetaData(), Column("version_num", String(32)))
_by_name = hot(
    select(projects, select(_version.c.version_num).scalar_subquery().label("schema_version")).where(
        projects.c.name == bindparam("name")
    )
)


Row = Mapping[Any, Any]
"""A row by the names of its columns."""


@dataclass(frozen=True, slots=True)
class Project:
    """A project's row: its identity, and the settings that every process obeys."""

    id: int
    name: str
    generation: str
    claim_order: str
    max_claims: int
    max_claims_per_connection: int
    max_failures: int
    max_attempts: int
    max_skips: int
    max_dependencies: int
    back_off: int


class Transaction:
    """A connection inside a transaction, the project it is about, and the time at which it began.

    `now` is the wall clock in seconds and `reading` the lease clock, both read after BEGIN.
    Every statement gets `project`, `now`, `clock` and `reading` as parameters, if it names them.
    """

    __slots__ = ("_given", "clock", "connection", "now", "project", "reading")

    def __init__(self, connection: Connection, project: Project, clock: LeaseClock, now: float) -> None:
        self.connection = connection
        self.project = project
        self.clock = clock.domain
        self.reading = clock.read()
        self.now = now
        self._given = {"project": project.id, "now": now, "clock": self.clock, "reading": self.reading}

    def all(self, statement: Executable, **parameters: Any) -> Sequence[Row]:
        """Every row, fetched to the end."""
        if is_hot(statement):
            return prepared(statement, self.connection.dialect).run(
                self.connection, self._given | parameters
            )[0]
        return self._execute(statement, parameters).mappings().all()

    def first(self, statement: Executable, **parameters: Any) -> Row | None:
        """The first row, or None; the rest is fetched and dropped."""
        rows = self.all(statement, **parameters)
        return rows[0] if rows else None

    def value(self, statement: Executable, **parameters: Any) -> Any:
        """The first column of the first row, or None."""
        row = self.first(statement, **parameters)
        return next(iter(row.values())) if row is not None else None

    def run(self, statement: Executable, **parameters: Any) -> int:
        """How many rows the statement changed."""
        if is_hot(statement):
            return prepared(statement, self.connection.dialect).run(
                self.connection, self._given | parameters
            )[1]
        return self._execute(statement, parameters).rowcount

    def insert(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert many rows at once."""
        if rows:
            self.connection.execute(statement, rows)

    def _execute(self, statement: Executable, parameters: dict[str, Any]) -> CursorResult[Any]:
        given = {name: self._given[name] for name in _given_to(statement)}
        return self.connection.execute(statement, given | parameters)


@lru_cache(maxsize=1024)
def _given_to(statement: ClauseElement) -> frozenset[str]:
    """Which of the given parameters a statement names. Statements are built once, so this is too."""
    named = {element.key for element in visitors.iterate(statement) if isinstance(element, BindParameter)}
    return GIVEN & named


GIVEN = frozenset({"project", "now", "clock", "reading"})


def find_project(connection: Connection, name: str) -> tuple[Project, str] | None:
    """The project of that name and the schema's version, or None where there is no such project."""
    rows, _ = prepared(_by_name, connection.dialect).run(connection, {"name": name})
    if not rows:
        return None
    row = rows[0]
    return Project(**{field: row[field] for field in Project.__dataclass_fields__}), row["schema_version"]


def load_project(connection: Connection, name: str, generation: str, *, writing: bool) -> Project:
    """The project as it is inside this transaction.

    Raises DatabaseReplaced where it is not the one that the process opened, and SchemaNewer where
    a newer Dibs has migrated it meanwhile and the transaction would write.
    """
    found = find_project(connection, name)
    if found is None or found[0].generation != generation:
        raise DatabaseReplaced(
            f"The project {name!r} is no longer the one this server opened: the database was replaced. "
            "Nothing was written. Restart the server to serve what is there now."
        )
    project, version = found
    if writing and version != HEAD:
        raise SchemaNewer(
            f"The database has schema {version}, this Dibs knows up to {HEAD}. "
            "Nothing was written. Update Dibs on this machine, then restart the server.",
            schema=version,
        )
    return project


def introduce(transaction: Transaction, library: str, process: str) -> None:
    """Record which library this process writes with, so that `dibs doctor` can name an unsound one."""
    given = {"library_": library, "process_": process[:200]}
    if not transaction.run(_seen_again, **given):
        transaction.run(_seen_first, **given)


_seen_again = (
    update(writers)
    .where(writers.c.project_id == bindparam("project"), writers.c.library == bindparam("library_"))
    .values(process=bindparam("process_"), seen_at=bindparam("now"))
)
_seen_first = insert(writers).values(
    project_id=bindparam("project"),
    library=bindparam("library_"),
    process=bindparam("process_"),
    seen_at=bindparam("now"),
)
