"""The health checks that every engine runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy.engine import Connection

from dibs.database.bootstrap import schema_version
from dibs_schema.tables import HEAD


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """The result of one check: `says` is what it found, and what to do unless the level is ok."""

    check: str
    level: Literal["ok", "warning", "error"]
    says: str


def check_schema(connection: Connection) -> HealthCheck:
    """Check that the schema has the version that this Dibs needs."""
    version = schema_version(connection)
    if version == HEAD:
        return HealthCheck("schema", "ok", f"version {version}")
    return HealthCheck("schema", "error", f"version {version}, this Dibs knows {HEAD}. Update Dibs on this machine.")


def check_library(check: str, library: str, seen: str = "") -> HealthCheck:
    """Check a library (its name and version, and where it was `seen`) for the bug that can lose commits."""
    from dibs.database.sqlite.driver import NAME, has_wal_reset_bug

    name, _, version = library.partition(" ")
    if name == NAME and has_wal_reset_bug(tuple(map(int, version.split(".")))):
        return HealthCheck(
            check,
            "warning",
            f"{library}{seen} has the WAL-reset bug, by which a checkpoint can lose commits. "
            "Install the package pysqlite3, or a Python with SQLite 3.51.3 or newer.",
        )
    return HealthCheck(check, "ok", f"{library}{seen}")
