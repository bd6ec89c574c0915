"""The content of a database, and its difference from the content before a write."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Double, Table, select

from dibs.database import open_database
from dibs.database.transaction import Transaction
from dibs.queries.audit import audit
from dibs.settings import Settings
from dibs_schema.tables import metadata

State = dict[str, dict[str, dict[str, Any]]]
"""Rows by table and key; events by their position."""
Change = dict[str, Any]
"""New values, by table, key and column."""

RANDOM = {"claim_token", "ended_token", "process", "token", "expires_at", "ready_at"}
"""Columns, and names in stored answers, whose values differ between runs."""
NEVER = {"xact"}
OTHER = "another"


def state_of(db: str) -> State:
    """Open the database as any process does, and return the content of the project.

    Raises the Refusal of the database, and AssertionError if the audit finds a wrong value.
    """
    database = open_database(Settings(db=db, project="default"))
    try:
        return database.read_now(look)
    finally:
        database.close(patience=5)


def look(tx: Transaction) -> State:
    """Return the content of the project. Raises AssertionError as `state_of` does."""
    unsound = audit(tx).unsound
    assert unsound == [], f"unsound: {unsound}"
    return {table.name: _rows(tx, table) for table in metadata.sorted_tables}


def _rows(tx: Transaction, table: Table) -> dict[str, dict[str, Any]]:
    owner = table.c.id if table.name == "projects" else table.c.project_id
    keys = [column.name for column in table.primary_key]
    rows = tx.all(select(table).where(owner == tx.project.id).order_by(*table.primary_key))
    return {
        str(place) if table.name == "events" else " ".join(str(row[key]) for key in keys): {
            name: value for name, value in row.items() if name not in NEVER and (table.name, name) != ("events", "id")
        }
        for place, row in enumerate(rows)
    }


def changed(before: State, after: State) -> Change:
    """Return the differences: new values, or only the fact of a change for values that differ between runs."""
    change: Change = {}
    for table, rows in after.items():
        timed = {column.name for column in metadata.tables[table].columns if isinstance(column.type, Double)}
        for key in rows.keys() | before[table].keys():
            old, new = before[table].get(key, {}), rows.get(key)
            if new is None:
                change[f"{table} {key}"] = None
            elif old != new:
                change[f"{table} {key}"] = {
                    name: OTHER if value is not None and name in timed | RANDOM else _settled(value)
                    for name, value in new.items()
                    if name not in old or old[name] != value
                }
    return json.loads(json.dumps(change, sort_keys=True))  # type: ignore[no-any-return]  # as it went in


def _settled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: OTHER if name in RANDOM else _settled(one) for name, one in value.items()}
    return [_settled(one) for one in value] if isinstance(value, list) else value
