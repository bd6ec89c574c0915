"""PostgreSQL: one backlog for several machines. Importing this loads no database library."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from dibs.database.engine import DatabaseLocation
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from dibs.database.postgres.engine import Postgres


def locate(settings: Settings, *, read_only: bool = False) -> DatabaseLocation:  # noqa: ARG001 - a read leaves no file on a server
    """Return the location of the database at the settings' URL. Raises InvalidInput for a URL of another kind."""
    url = settings.db or ""
    scheme = url.partition("://")[0]
    if scheme not in ("postgresql", "postgres"):
        raise InvalidInput(
            f"{scheme}:// is not a database that Dibs serves. Name a file, or a postgresql:// URL.", field="db"
        )
    if find_spec("psycopg") is None:
        raise InvalidInput("PostgreSQL needs the package psycopg: install dibs-mcp[postgres].", field="db")

    def make_engine() -> Postgres:
        from dibs.database.postgres.engine import Postgres

        return Postgres(url, label_of(url), settings)

    return DatabaseLocation(
        label=label_of(url),
        file=None,
        readers=1,  # each takes one of the server's few connections
        make_engine=make_engine,
        exists=lambda: settings.project in make_engine().project_names(),
    )


def label_of(url: str) -> str:
    """Return the URL without user, password and parameters, even if these are not escaped."""
    place, _, parameters = url.partition("://")[2].partition("?")
    return "a PostgreSQL server" if "@" in parameters else f"postgresql://{place.rpartition('@')[2]}"
