"""The points at which a process can be killed: chosen points, and the points around every statement that it sends."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Pass = Callable[[str, str], None]
"""Receives every point of the process: "before" or "after", and the statement."""

PIPELINE = "the end of the pipeline"
"""The function that sends queued statements and waits for their results."""


class Death:
    """Ends this process by SIGKILL at a chosen point."""

    def __init__(self, moment: str) -> None:
        self._moment = moment

    def come(self, now: str) -> None:
        """Die if this is the chosen point."""
        if now == self._moment:
            os.kill(os.getpid(), signal.SIGKILL)


def watch_file_driver(point: Pass) -> None:
    """From now on, report the points around every statement that this process sends to a database file."""
    from dibs.database import file_driver

    driver: Any = file_driver()
    around, connect = _around(point), driver.connect

    class Cursor(driver.Cursor):  # type: ignore[misc]  # whichever library it is
        def execute(self, statement: str, *values: Any) -> Any:
            with around(statement):
                return super().execute(statement, *values)

        def executemany(self, statement: str, *values: Any) -> Any:
            with around(statement):
                return super().executemany(statement, *values)

    class Connection(driver.Connection):  # type: ignore[misc]  # as above
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def commit(self) -> None:
            if self.in_transaction:
                with around("COMMIT"):
                    super().commit()

        def rollback(self) -> None:
            if self.in_transaction:
                with around("ROLLBACK"):
                    super().rollback()

    driver.connect = lambda *place, **how: connect(*place, **{"factory": Connection} | how)


def watch_server_driver(point: Pass) -> None:
    """From now on, report the points around every statement that this process sends to a database server."""
    import psycopg

    driver: Any = psycopg
    around = _around(point)

    class Cursor(driver.Cursor):  # type: ignore[misc]  # as above
        def execute(self, statement: Any, *values: Any, **how: Any) -> Any:
            with around(str(statement)):
                return super().execute(statement, *values, **how)

        def executemany(self, statement: Any, *values: Any, **how: Any) -> Any:
            with around(str(statement)):
                return super().executemany(statement, *values, **how)

    class Connection(driver.Connection):  # type: ignore[misc]  # as above
        def __init__(self, *given: Any, **how: Any) -> None:
            super().__init__(*given, **how)
            self.cursor_factory = Cursor

        def rollback(self) -> None:
            with around("ROLLBACK"):
                super().rollback()

        @contextmanager
        def pipeline(self) -> Iterator[Any]:
            with super().pipeline() as pipeline:
                yield pipeline
                point("before", PIPELINE)
            point("after", PIPELINE)

    driver.connect = Connection.connect


def _around(point: Pass) -> Callable[[str], Any]:
    @contextmanager
    def around(statement: str) -> Iterator[None]:
        point("before", statement)
        yield
        point("after", statement)

    return around
