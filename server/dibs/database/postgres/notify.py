"""Notices that there may be work, sent with a commit and heard by whoever waits; and what followers look at."""

from __future__ import annotations

import math
import time
from typing import Any, Final

import psycopg

LOOK_ANYWAY: Final = 5.0
LOOK_POOLED: Final = 1.0
"""Seconds after which who waits looks again anyway: behind a pooler, which passes no notices on, more often."""


class Notices:
    """How many have come on `channel`, by one connection that `listens`; a new one listens anew."""

    def __init__(self) -> None:
        self.channel = ""
        self.listens: psycopg.Connection[Any] | None = None
        self._count = 0
        self._looked = -math.inf

    def heard(self, driver: psycopg.Connection[Any], *, own: bool) -> int:
        """A number that has changed where there may be work; asks the server nothing once it listens."""
        if not own:  # a LISTEN would outlive the transaction, for strangers
            return int(time.monotonic() / LOOK_POOLED)
        if self.listens is not driver:
            driver.execute(f"LISTEN {self.channel}")
            self.listens = driver
            self._count += 1  # what came before is not known
        self._count += sum(1 for _ in driver.notifies(timeout=0))
        if time.monotonic() - self._looked > LOOK_ANYWAY:
            self._looked = time.monotonic()
            self._count += 1
        return self._count

    def horizon(self, driver: psycopg.Connection[Any]) -> int:
        """Below which number every transaction has ended; notices that came meanwhile are counted, and not kept."""
        if self.listens is driver:
            self._count += sum(1 for _ in driver.notifies(timeout=0))
        row = driver.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").fetchone()
        assert row is not None, "it is one row"
        return int(row[0])
