"""Many processes that open one database at the same moment. They are forked with everything imported."""

from __future__ import annotations

import importlib
import os
import sys

from dibs.database import open_database
from dibs.settings import Settings

DIALECTS = {"sqlite": "sqlalchemy.dialects.sqlite.pysqlite", "postgres": "sqlalchemy.dialects.postgresql.psycopg"}


def open_at_once(db: str, processes: int, projects: int) -> int:
    """Open the database in many processes, and print each one's project number and generation. Return how many failed."""
    engine = "postgres" if "://" in db else "sqlite"
    for module in (f"dibs.database.{engine}.engine", "alembic.command", DIALECTS[engine]):
        importlib.import_module(module)  # loaded before any process opens the database
    ready, go = os.pipe()
    children = []
    for number in range(processes):
        child = os.fork()  # no database is open yet, so no connection crosses the fork
        if child == 0:
            os.close(go)
            os.read(ready, 1)  # returns when the parent closes its end
            os._exit(_open(db, f"project {number % projects}"))
        children.append(child)
    os.close(go)
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


def _open(db: str, project: str) -> int:
    database = open_database(Settings(db=db, project=project))
    number = database.write_now(lambda tx: tx.project.id)
    generation = database.read_now(lambda tx: tx.project.generation)
    database.close(patience=5)
    os.write(1, f"{number} {generation}\n".encode())
    return 0


if __name__ == "__main__":
    sys.exit(open_at_once(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
