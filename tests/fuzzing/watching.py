"""Detects exactly, by one cheap query, whether anything was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from foreign import connected

_ROWS = """
CREATE UNLOGGED TABLE written (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
CREATE FUNCTION note_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO written DEFAULT VALUES; RETURN NULL; END $$;
DO $$ DECLARE t text; BEGIN
FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'written' LOOP
EXECUTE format('CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON %I FOR EACH ROW '
'EXECUTE FUNCTION note_written()', t);
END LOOP; END $$
"""


@contextmanager
def writes(db: str) -> Iterator[Callable[[], int]]:
    """A number that changes whenever another connection has committed a change to any row of the database.

    A file reports every commit that changed it: https://www.sqlite.org/pragma.html#pragma_data_version. On a
    server each table gets a trigger that counts the written rows, even if their values stay the same. A rollback
    also undoes its counts.
    """
    question = "SELECT count(*) FROM written" if "://" in db else "PRAGMA data_version"
    with connected(db) as connection:
        if "://" in db:
            connection.execute(_ROWS)
            question = "SELECT coalesce(max(id), 0) FROM written"
        yield lambda: int(connection.execute(question).fetchone()[0])
