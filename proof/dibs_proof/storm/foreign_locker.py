"""A program that holds what every writer needs, without asking: `python -m dibs_proof.storm.foreign_locker DB SECONDS`.

It prints since when and until when it held the locks, in seconds of the monotonic clock; nothing where it got none.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any

from dibs.database import locate_database
from dibs.settings import Settings
from dibs_schema.refusals import Refusal

LOCKS = {
    "sqlite": ["BEGIN IMMEDIATE"],
    "postgresql": ["BEGIN", "LOCK TABLE projects, features IN EXCLUSIVE MODE"],
}
"""The statements that lock what every writer needs, by SQLAlchemy's name of the engine."""


def hold(db: str, seconds: float) -> None:
    """Hold the locks of the database for so many seconds, if they are to be had: a stranger may lose a deadlock."""
    engine = locate_database(Settings(db=db)).make_engine()
    connection = engine.connect()
    driver: Any = connection.connection.dbapi_connection
    with suppress(Refusal), engine.translated():
        try:
            for statement in LOCKS[connection.dialect.name]:
                driver.execute(statement)
            _say(time.monotonic())
            time.sleep(seconds)
            _say(time.monotonic())
        finally:
            driver.rollback()
    with engine.closing():
        connection.close()


def _say(now: float) -> None:
    sys.stdout.write(f"{now}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    hold(sys.argv[1], float(sys.argv[2]))
