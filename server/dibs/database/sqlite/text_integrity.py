"""Whether every text in a database file is one: a page is sound to SQLite, whatever bytes its texts have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import JSON, String, Table
from sqlalchemy.engine import Connection

from dibs_schema.tables import metadata

MOST_NAMED = 5
"""Places of one table."""


def unreadable_texts(connection: Connection) -> list[str]:
    """The places at which a text is not UTF-8, or a JSON value no JSON, at most a few for each table."""
    driver = connection.connection.driver_connection
    assert driver is not None, "it is open"
    kept, driver.text_factory = driver.text_factory, bytes
    try:
        return [place for table in metadata.sorted_tables for place in _unreadable_in(driver, table)]
    finally:
        driver.text_factory = kept


def _unreadable_in(driver: Any, table: Table) -> Iterator[str]:
    keys = [column.name for column in table.primary_key]
    texts = [column for column in table.c if isinstance(column.type, (String, JSON))]
    names = ", ".join([*keys, *(column.name for column in texts)])
    found = 0
    for row in driver.execute(f"SELECT {names} FROM {table.name}"):  # noqa: S608 - names of ours
        for column, value in zip(texts, row[len(keys) :], strict=True):
            if value is not None and not _is_readable(value, is_json=isinstance(column.type, JSON)):
                key = ".".join(_shown(part) for part in row[: len(keys)])
                yield f"{column.name} of {table.name} {key}"
                found += 1
        if found >= MOST_NAMED:
            return


def _is_readable(value: Any, *, is_json: bool) -> bool:
    try:
        text = value.decode() if isinstance(value, bytes) else value
        if is_json:
            json.loads(text)
    except (ValueError, TypeError):
        return False
    return isinstance(text, str)


def _shown(key: object) -> str:
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key)
