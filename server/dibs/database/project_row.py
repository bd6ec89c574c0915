"""A project's row: its identity, its settings, and whether it is live in this database."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from sqlalchemy import Column, MetaData, String, Table, bindparam, select
from sqlalchemy.engine import Connection

from dibs.database.compiled import hot, prepared
from dibs.settings import UNNAMED
from dibs_schema.project_settings import ProjectSettings
from dibs_schema.refusals import DatabaseReplaced, SchemaNewer
from dibs_schema.tables import HEAD, projects

schema_versions = Table("alembic_version", MetaData(), Column("version_num", String(32)))

by_name = hot(
    select(projects, select(schema_versions.c.version_num).scalar_subquery().label("schema_version")).where(
        projects.c.name == bindparam("name")
    )
)


@dataclass(frozen=True, slots=True)
class Project:
    """The identity of a project, and its settings."""

    id: int
    name: str
    generation: str
    moved_to: str | None
    settings: ProjectSettings


def project_of(row: Mapping[Any, Any]) -> Project:
    """Return the project in a row that `by_name` selected."""
    return Project(row["id"], row["name"], row["generation"], row["moved_to"], ProjectSettings.of_row(row))


def find_project(connection: Connection, name: str) -> tuple[Project | None, str | None]:
    """Return the project of that name and the schema's version, or None for both if there is no such project."""
    rows, _ = prepared(by_name, connection.dialect).run(connection, {"name": name})
    return (project_of(rows[0]), rows[0]["schema_version"]) if rows else (None, None)


def called(name: str) -> str:
    """Return `project 'web'` for a message, or `backlog` for a project without a name of its own, as most files have."""
    return "backlog" if name == UNNAMED else f"project {name!r}"


def listed(names: list[str]) -> str:
    """Return `is 'web'` or `are 'site', 'web'` for a message, with at most ten names."""
    shown = ", ".join(map(repr, names[:10]))
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{'is' if len(names) == 1 else 'are'} {shown}{more}"


def newer_schema(label: str, version: str | None) -> SchemaNewer:
    """Return the refusal for a database that a newer Dibs has migrated."""
    return SchemaNewer(
        f"{label} has schema {version}, this Dibs knows up to {HEAD}. Nothing was written. "
        "Update Dibs on this machine, then restart the server.",
        schema=version,
    )


def check_project(found: Project | None, schema: str | None, opened: Project, label: str, *, writing: bool) -> Project:
    """Return the project that a transaction has `found`.

    Raises DatabaseReplaced if it is not the project that the process opened, or if the transaction writes and the
    project is frozen. Raises SchemaNewer if the transaction writes and a newer Dibs has migrated the database.
    """
    if writing and found is not None and found.moved_to is not None:
        raise frozen(opened.name, Freeze.read(found.moved_to))
    if found is None or found.generation != opened.generation:
        raise DatabaseReplaced(
            f"The {called(opened.name)} is no longer the one this server opened: the database was replaced. "
            "Nothing was written. Restart the server to serve what is there now."
        )
    if writing and schema != HEAD:
        raise newer_schema(label, schema)
    return found


@dataclass(frozen=True, slots=True)
class Freeze:
    """The reason why a project accepts no writes in this database, as `projects.moved_to` stores it.

    `generation`, `project` and `label` identify another project: the copy of a project that has `moved`, the source of
    an unfinished copy (`copied`), or the original of a `backup`. The label holds no credentials. A backup also has
    `at`, its time in seconds of the wall clock, and `seal`, the schema's version with the digest of its rows.
    """

    state: Literal["moved", "copied", "backup"]
    generation: str
    project: str
    label: str
    at: float = 0.0
    seal: str = ""

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the freeze that `projects.moved_to` holds."""
        return cls(*json.loads(text))

    def __str__(self) -> str:
        text = self._text(self.label)
        too_long = len(text) - 500  # characters of `projects.moved_to`
        return text if too_long <= 0 else self._text(f"…{self.label[too_long + 1 :]}")

    def _text(self, label: str) -> str:
        more = [self.at, self.seal] if self.state == "backup" else []
        return json.dumps([self.state, self.generation, self.project, label, *more], ensure_ascii=False)


def freeze_labels(moved_to: str | None) -> dict[str, str]:
    """Return `moved_to`, the label of a moved project's database, or `backup_of`, the label of a backup's original."""
    freeze = Freeze.read(moved_to) if moved_to is not None else None
    if freeze is None or freeze.state == "copied":
        return {}
    if freeze.state == "moved":
        return {"moved_to": freeze.label}
    return {"backup_of": f"{freeze.label}, made {when(freeze.at)}"}


def when(at: float) -> str:
    """Return a time in UTC, as messages show it."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def frozen(name: str, freeze: Freeze) -> DatabaseReplaced:
    """Return the refusal for a write to a project that is frozen in this database."""
    if freeze.state == "copied":
        return DatabaseReplaced(
            f"The {called(name)} here is a copy of the {called(freeze.project)} at {freeze.label} that was not finished. "
            "Nothing was written. A person runs the same `dibs copy` again, which finishes it.",
            moved_from=freeze.label,
        )
    if freeze.state == "backup":
        return DatabaseReplaced(
            f"This is a backup of the {called(freeze.project)} at {freeze.label}, made {when(freeze.at)}. "
            "Nothing was written. A person sets DIBS_DB to the backlog itself, or makes one of this with `dibs restore`.",
            backup_of=freeze.label,
        )
    elsewhere = f" and DIBS_PROJECT to {freeze.project}" if freeze.project != name else ""
    return DatabaseReplaced(
        f"The {called(name)} has moved to {freeze.label}. Nothing was written. A person sets DIBS_DB to it{elsewhere} and "
        "restarts the server, or brings it back by copying it from there to here (`dibs copy`).",
        moved_to=freeze.label,
    )
