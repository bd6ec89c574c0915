"""A harness that embeds the database, forks, and is killed in the middle of a write; run as a script."""

from __future__ import annotations

import os
import sys
import time

from dibs.database import open_database
from dibs.settings import Settings


def main(db: str) -> None:
    """Fork a child that does nothing for a long time, and then hold a write until this process is killed."""
    database = open_database(Settings(db=db))
    database.write_now(lambda _: None)
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)

    def hold(_: object) -> None:
        print(child, flush=True)
        time.sleep(60)

    database.write_now(hold)


if __name__ == "__main__":
    main(*sys.argv[1:])
