"""Tables, views and triggers in a database file that are not Dibs's own."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from dibs.database.bootstrap import FIRST_TABLES
from dibs.database.sqlite.driver import driver
from dibs.database.sqlite.errors import meaning
from dibs_schema.refusals import InvalidInput
from dibs_schema.tables import HEAD, metadata

_OBJECTS = "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name"


def at_rest(file: Path) -> str:
    """Return the parameter of a URL by which SQLite makes no file next to a database without a log or a journal.

    With either, the file alone is not the database: a power cut may have left it half written.
    """
    left = (Path(f"{file}{suffix}") for suffix in ("-wal", "-journal"))
    return "" if any(one.exists() and one.stat().st_size for one in left) else "&immutable=1"


def refuse_foreign(file: Path) -> None:
    """Raise InvalidInput for another program's database, DatabaseDamaged for any other file. Changes nothing."""
    if not file.exists() or not file.stat().st_size:
        return
    library = driver()
    url = f"{file.as_uri()}?mode=ro{at_rest(file)}"
    try:
        with closing(library.connect(url, uri=True)) as connection:
            tables = _tables(connection)
    except library.Error as error:
        refusal = meaning(file, error)
        if refusal is not None and getattr(error, "sqlite_errorname", "") == "SQLITE_NOTADB":
            raise refusal from error
        return  # others are changing it, or its damage shows when it is opened
    if tables and not tables.issuperset(FIRST_TABLES):
        raise InvalidInput(
            f"{file} is a SQLite database of another program. Nothing was changed. Name a file of its own with --db; "
            "`dibs import` reads the backlogs of other tools.",
            field="db",
        )


def holds_backlog(connection: Any) -> bool:
    """Return whether the driver's connection leads to a database of Dibs, of any version."""
    return _tables(connection).issuperset(FIRST_TABLES)


def _tables(connection: Any) -> set[str]:
    return {name for kind, name in connection.execute(_OBJECTS) if kind == "table"}


def foreign_objects(connection: Any) -> list[str]:
    """Return the tables, views and triggers that no version of Dibs makes, and the indexes that this one does not.

    `connection` is the driver's.
    """
    own = {("table", name) for name in (*metadata.tables, "alembic_version")}
    own |= {("index", str(index.name)) for table in metadata.tables.values() for index in table.indexes}
    (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    checked = ("table", "view", "trigger", *(("index",) if version == HEAD else ()))
    return [
        f"{kind} {name}" for kind, name in connection.execute(_OBJECTS) if kind in checked and (kind, name) not in own
    ]
