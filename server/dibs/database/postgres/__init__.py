"""PostgreSQL: one backlog for several machines. Importing this loads no database library."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from dibs.database.engine import Place
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from dibs.database.postgres.engine import Postgres

SCHEMES = ("postgresql", "postgres")
READERS = 1
"""Each is a connection of the server's, of which it has few."""


def place(settings: Settings, *, looking: bool = False) -> Place:  # noqa: ARG001 - a look leaves nothing on a server
    """The database that the settings' URL names. Raises InvalidInput for a URL of another kind."""
    url = settings.db or ""
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES:
        raise InvalidInput(
            f"{scheme}:// is no database that Dibs serves. Name a file, or a postgresql:// URL.", field="db"
        )
    if find_spec("psycopg") is None:
        raise InvalidInput("PostgreSQL needs the package psycopg: install dibs-mcp[postgres].", field="db")

    def make_engine() -> Postgres:
        from dibs.database.postgres.engine import Postgres

        return Postgres(url, label_of(url), settings)

    def exists() -> bool:
        from dibs.database.postgres.bootstrap import is_there

        return is_there(make_engine(), settings.project)

    return Place(label=label_of(url), file=None, readers=READERS, make_engine=make_engine, exists=exists)


def label_of(url: str) -> str:
    """The URL as users may see it: without user, password and parameters, also where these are not escaped."""
    place, _, parameters = url.partition("://")[2].partition("?")
    return "a PostgreSQL server" if "@" in parameters else f"postgresql://{place.rpartition('@')[2]}"
