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
    from dibs.database.files import marks_in, schema_in
    from dibs.database.sqlite.filesystems import refuse_unsafe

    path = settings.database_file()
    refuse_unsafe(path)
    if not path.exists():
        return Peek()
    names = set(marks_in(path))
    return Peek(schema_in(path), names)


def _peek_at_server(settings: Settings) -> Peek:
    from sqlalchemy import select

    from dibs.database import find_place
    from dibs.database.schema import schema_version
    from dibs_schema.tables import projects

    engine = find_place(settings).make_engine()
    with engine.translated():
        connection = engine.connect(reading=True)
        try:
            version = schema_version(connection)
            if version is None:
                return Peek()
            return Peek(version, set(connection.execute(select(projects.c.name)).scalars()))
        finally:
            connection.close()
