"""A backlog with rows in every table, copied as `dibs copy` does it, and checks of the copy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select

from dibs.database import Database, open_database
from dibs.database.transaction import Transaction
from dibs.rules.idempotency import Request, once
from dibs.settings import Settings
from dibs.transfer.bulk import BulkDatabase
from dibs.transfer.copy import Copied, copy_project
from dibs.verbs import ask_user, create, outcome, update
from dibs_schema.answers import Created
from dibs_schema.inputs import Question
from dibs_schema.refusals import DatabaseReplaced
from dibs_schema.status import Status
from dibs_schema.tables import metadata
from verbs.stage import Placed, add, depend, new, place, rule, token_of

KEY = "the same again"
OTHER_CLOCK = {"lease_clock", "lease_ends", "lease_expires_at"}
"""Columns that are converted to another clock."""


@contextmanager
def opened(db: str, project: str = "default") -> Iterator[Database]:
    """Open a database in this process during the block."""
    database = open_database(Settings(db=db, project=project))
    try:
        yield database
    finally:
        database.close(patience=5)


def copied(
    source: str,
    target: str,
    *,
    project: str = "default",
    to_project: str | None = None,
    with_claims: bool = False,
) -> Copied:
    """Copy a project in this process."""
    here = BulkDatabase(Settings(db=source, project=project))
    there = BulkDatabase(Settings(db=target, project=to_project or project))
    return copy_project(here, there, with_claims=with_claims, progress=lambda *_: None)


def stage(database: Database) -> Placed:
    """Fill every table, create features in every status, and return a claimed feature."""
    rule(database, order="critical_path", max_skips=3, back_off=45)
    placed = {status: place(database, status) for status in Status}
    ids = add(database, 3, name="Überschrift “mit” 😀", description="z\n\u2028", steps=["1", "2"], priority=7)
    depend(database, ids[0], ids[1], placed[Status.PASSING].id)
    depend(database, ids[1], ids[2])
    database.write_now(lambda tx: update.add_note(tx, "ada", ids[2], "a note"))
    token = token_of(database, ids[2], "bob")
    database.write_now(lambda tx: outcome.mark_failing(tx, "bob", ids[2], "it does not work", token))
    asked = Question.model_validate(
        {"question": "Which?", "header": "Colour", "options": [{"label": "a"}, {"label": "b"}]}
    )
    database.write_now(lambda tx: ask_user.ask_user(tx, "ada", [asked]))
    repeat(database)
    return placed[Status.IN_PROGRESS]


def repeat(database: Database) -> list[int]:
    """Repeat a call with the same idempotency key."""
    batch = [new("by key")]
    request = Request.of(KEY, "feature_create_bulk", {"features": ["by key"]})
    made = database.write_now(lambda tx: once(tx, request, Created, lambda: create.create_bulk(tx, "planner", batch)))
    return made.ids


def contents(database: Database, shift: int = 0) -> dict[str, Any]:
    """Return all rows of the project, without the values that differ between databases."""

    def look(tx: Transaction) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for table in metadata.sorted_tables:
            if table.name == "projects":
                own, mine = {"id", "name", "generation", "moved_to"}, table.c.id == tx.project.id
            elif table.name == "writers":
                continue
            else:
                own, mine = {"project_id", "xact"} | OTHER_CLOCK, table.c.project_id == tx.project.id
            rows = [dict(row) for row in tx.all(select(table).where(mine))]
            for row in rows:
                if table.name == "events":
                    row["id"] -= shift
                for name in own & row.keys():
                    del row[name]
            found[table.name] = sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))
        return found

    return database.read_now(look)


def is_live(db: str, project: str = "default") -> bool:
    """Return whether the project in this database takes writes."""
    with opened(db, project) as database:
        try:
            database.write_now(lambda _: None)
        except DatabaseReplaced:
            return False
    return True


def generation(database: Database) -> str:
    """Return the generation of the project."""
    return database.read_now(lambda tx: tx.project.generation)
