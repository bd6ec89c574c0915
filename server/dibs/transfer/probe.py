"""What a database holds, found out without making, migrating or changing anything."""

from __future__ import annotations

from dataclasses import dataclass, field

from dibs.settings import Settings


@dataclass(frozen=True, slots=True)
class Peek:
    """The schema's version, None where it is no backlog yet, and the names of its projects."""

    version: str | None = None
    projects: set[str] = field(default_factory=set)


def peek(settings: Settings) -> Peek:
    """Look at the database that the settings name. Raises InvalidInput and Unavailable."""
    return _peek_at_server(settings) if settings.is_server_url else _peek_at_file(settings)


def _peek_at_file(settings: Settings) -> Peek:
    from dibs.database.files import projects_in, refuse_unsafe, schema_in

    path = settings.database_file()
    refuse_unsafe(path)
    if not path.exists():
        return Peek()
    names = set(projects_in(path))
    return Peek(schema_in(path), names)


def _peek_at_server(settings: Settings) -> Peek:
    from sqlalchemy import select

    from dibs.database import locate_database
    from dibs.database.bootstrap import schema_version
    from dibs_schema.tables import projects

    engine = locate_database(settings).make_engine()
    with engine.translated():
        connection = engine.connect(reading=True)
        try:
            version = schema_version(connection)
            if version is None:
                return Peek()
            return Peek(version, set(connection.execute(select(projects.c.name)).scalars()))
        finally:
            connection.close()
