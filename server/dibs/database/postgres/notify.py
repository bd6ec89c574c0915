"""Notifications that work may be ready, sent with a commit; and the horizon that followers read."""

from __future__ import annotations

import math
import time
from typing import Any, Final

import psycopg

LOOK_ANYWAY: Final = 5.0
LOOK_POOLED: Final = 1.0
"""Seconds after which those who wait look again anyway; more often behind a pooler, which passes on no notifications."""


class Notifications:
    """Counts what has come on `channel` through one connection, the `listener`; a new one sends LISTEN again."""

    def __init__(self) -> None:
        self.channel = ""
        self.listener: psycopg.Connection[Any] | None = None
        self._count = 0
        self._looked = -math.inf

    def count(self, driver: psycopg.Connection[Any], *, own: bool) -> int:
        """Return a number that changes where work may be ready; asks the server nothing once it listens.

        On a session that is not our `own`, a LISTEN would outlive the transaction, for the pooler's other clients.
        """
        if not own:
            return int(time.monotonic() / LOOK_POOLED)
        if self.listener is not driver:
            driver.execute(f"LISTEN {self.channel}")
            self.listener = driver
            self._count += 1  # what came before is not known
        self._count += sum(1 for _ in driver.notifies(timeout=0))
        if time.monotonic() - self._looked > LOOK_ANYWAY:
            self._looked = time.monotonic()
            self._count += 1
        return self._count

    def horizon(self, driver: psycopg.Connection[Any]) -> int:
        """Return the number below which every transaction has ended. Notifications that come meanwhile are counted."""
        if self.listener is driver:
            self._count += sum(1 for _ in driver.notifies(timeout=0))
        row = driver.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").fetchone()
        assert row is not None, "the query returns one row"
        return int(row[0])
