"""A program that holds what every writer needs, without asking: `python -m dibs.storm.stranger DB SECONDS`."""

from __future__ import annotations

import sys
import time

from dibs.database import find_place
from dibs.settings import Settings


def hold(db: str, seconds: float) -> None:
    """Hold the locks of the database for so many seconds."""
    engine = find_place(Settings(db=db)).make_engine()
    connection = engine.connect()
    with engine.translated(), engine.intruding(connection):
        time.sleep(seconds)
    with engine.leaving():
        connection.close()


if __name__ == "__main__":
    hold(sys.argv[1], float(sys.argv[2]))
