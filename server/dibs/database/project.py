"""The project that a process serves: its row, and whether it is still the one that was opened."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from sqlalchemy import Column, MetaData, String, Table, bindparam, select
from sqlalchemy.engine import Connection

from dibs.database.compiled import hot, prepared
from dibs.database.engine import Start
from dibs.database.project_mark import Mark, moved
from dibs_schema.refusals import DatabaseReplaced, SchemaNewer
from dibs_schema.tables import HEAD, projects

DEFAULTS = {
    "claim_order": "priority",
    "max_claims": 1,
    "max_claims_per_connection": 16,
    "max_failures": 3,
    "max_attempts": 10,
    "max_skips": 3,
    "max_dependencies": 20,
    "back_off": 30,
    "require_evidence": "off",
    "verifier": "anyone",
}
"""A new project's settings; `back_off` in seconds, doubling with each failure up to 600."""

schema_versions = Table("alembic_version", MetaData(), Column("version_num", String(32)))

by_name = hot(
    select(projects, select(schema_versions.c.version_num).scalar_subquery().label("schema_version")).where(
        projects.c.name == bindparam("name")
    )
)


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
    moved_to: str | None
    require_evidence: str
    verifier: str


def project_of(row: dict[str, object]) -> Project:
    """The project of a row that `by_name` has found."""
    return Project(**{field: row[field] for field in Project.__dataclass_fields__})  # type: ignore[arg-type]  # columns


def find_project(connection: Connection, name: str) -> tuple[Project | None, str | None]:
    """The project of that name and the schema's version, or nothing where there is no such project."""
    rows, _ = prepared(by_name, connection.dialect).run(connection, {"name": name})
    return (project_of(rows[0]), rows[0]["schema_version"]) if rows else (None, None)


def new_project(name: str) -> dict[str, object]:
    """The row of a new project; its generation tells it from any other that will ever have its name."""
    identity = {"name": name, "generation": secrets.token_hex(8), "created_at": time.time()}
    return identity | DEFAULTS | {"next_feature_id": 1, "next_question_id": 1}


def newer(label: str, version: str | None) -> SchemaNewer:
    """The refusal of a database that a newer Dibs has migrated."""
    return SchemaNewer(
        f"{label} has schema {version}, this Dibs knows up to {HEAD}. Nothing was written. "
        "Update Dibs on this machine, then restart the server.",
        schema=version,
    )


def admit(start: Start, opened: Project, label: str, *, writing: bool) -> Project:
    """The project as it is inside a transaction.

    Raises DatabaseReplaced where it is not the one that the process opened, and SchemaNewer where
    a newer Dibs has migrated it meanwhile and the transaction would write. A project that has moved
    to another database can still be read.
    """
    if writing and start.project is not None and start.project.moved_to is not None:
        raise moved(opened.name, Mark.read(start.project.moved_to))
    if start.project is None or start.project.generation != opened.generation:
        raise DatabaseReplaced(
            f"The project {opened.name!r} is no longer the one this server opened: the database was replaced. "
            "Nothing was written. Restart the server to serve what is there now."
        )
    if writing and start.schema != HEAD:
        raise newer(label, start.schema)
    return start.project
