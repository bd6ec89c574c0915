"""A program that holds what every writer needs, without asking: `python -m dibs_proof.storm.foreign_locker DB SECONDS`.

It prints since when and until when it held the locks, in seconds of the monotonic clock; nothing where it got none.
"""

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
        _say(time.monotonic())
        time.sleep(seconds)
        _say(time.monotonic())
    with engine.leaving():
        connection.close()


def _say(now: float) -> None:
    sys.stdout.write(f"{now}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    hold(sys.argv[1], float(sys.argv[2]))
