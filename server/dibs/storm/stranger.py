"""A program that holds what every writer needs, without asking: `python -m dibs.storm.stranger DB SECONDS`."""

from __future__ import annotations

import sys
import time
from contextlib import suppress

from dibs.database import find_place
from dibs.settings import Settings
from dibs_schema.refusals import Refusal


def hold(db: str, seconds: float) -> None:
    """Hold the locks of the database for so many seconds, if they are to be had: a stranger may lose a deadlock."""
    engine = find_place(Settings(db=db)).make_engine()
    connection = engine.connect()
    with suppress(Refusal), engine.translated(), engine.intruding(connection):
        time.sleep(seconds)
    with engine.leaving():
        connection.close()


if __name__ == "__main__":
    hold(sys.argv[1], float(sys.argv[2]))
