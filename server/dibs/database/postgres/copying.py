"""What PostgreSQL needs when many rows come at once, and while a whole project is copied from it or into it."""

from __future__ import annotations

from typing import Final

from sqlalchemy.engine import Connection

from dibs.database.engine import Engine

TIMEOUT: Final = "10min"
"""For one statement, and while the other database is at work. Not for ever: who vanished holds locks."""

COPY_LOCK: Final = 0x64696274
"""The advisory lock of whoever copies from or to a database: one at a time, or two could wait for each other."""

_ADVANCE: Final = """
WITH numbers AS (SELECT pg_get_serial_sequence('events', 'id')::regclass AS name)
SELECT count(nextval(name))
FROM numbers, generate_series(coalesce(pg_sequence_last_value(name), 0) + 1, %s)
"""


class Copying(Engine):
    """The part of the engine that is asked when many rows come at once, or a whole project is copied."""

    def unhurried(self, connection: Connection, *, exclusive: bool = False, reading: bool = False) -> None:
        """Let the transaction take its time; `exclusive` also waits for claims of one statement, and keeps them out.

        Those lock no project, but they need the table. A statement that has waited for a table's lock looks at
        the rows anew, so it finds the project moved. Claims in the database's other projects wait as well.
        Source: https://www.postgresql.org/docs/current/explicit-locking.html (ROW EXCLUSIVE conflicts with it).
        """
        with self.translated():
            if not reading:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({COPY_LOCK})")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{TIMEOUT}'")
            connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = '{TIMEOUT}'")
            if exclusive:
                connection.exec_driver_sql("LOCK TABLE features IN SHARE ROW EXCLUSIVE MODE")

    def survey(self, connection: Connection) -> None:
        """Tell the planner how large the tables are now: else, until autovacuum does, a recount may outlast all patience."""
        with self.translated():
            connection.exec_driver_sql("ANALYZE features, dependencies, events")

    def settle(self, connection: Connection, last_event: int) -> None:
        """Move the events' sequence to `last_event`, and survey the tables.

        Number by number: setval could take back what others have drawn since its argument was read.
        """
        with self.translated():
            connection.exec_driver_sql(_ADVANCE, (last_event,))
        self.survey(connection)
