"""A claim without Dibs: the same guarded statement and event, on the driver alone."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

from dibs.database.sqlite.driver import driver

PRAGMAS = (
    "busy_timeout = 5000",
    "synchronous = FULL",
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "mmap_size = 0",
    "wal_autocheckpoint = 1000",
    "journal_size_limit = 16777216",
)

CLAIM = """
UPDATE features SET status = 'in_progress', attempts = attempts + 1, not_before = NULL, claim_token = :token,
    claimed_by = :holder, claim_session = 'raw', claimed_at = :now, lease_clock = 'raw', lease_ends = :reading + 120,
    lease_seconds = 120, lease_expires_at = :now + 120, last_activity_at = :now, updated_at = :now
WHERE status = 'pending' AND unmet_dependencies = 0
    AND (not_before IS NULL OR not_before <= :now OR not_before > :now + 600)
    AND (SELECT count(*) FROM features mine WHERE mine.project_id = 1 AND mine.status = 'in_progress'
         AND mine.claimed_by = :holder) < 1
    AND project_id = 1
    AND id = (SELECT queue.id FROM features queue WHERE queue.project_id = 1 AND queue.status = 'pending'
              AND queue.unmet_dependencies = 0
              AND (queue.not_before IS NULL OR queue.not_before <= :now OR queue.not_before > :now + 600)
              ORDER BY queue.skips, queue.priority, queue.id LIMIT 1)
RETURNING id, category, name, description, steps, claim_token, lease_expires_at
"""

EVENT = """
INSERT INTO events (project_id, feature_id, at, agent, kind, from_status, to_status)
VALUES (1, ?, ?, ?, 'claim', 'pending', 'in_progress')
"""


class RawClaims:
    """A connection that claims by hand."""

    def __init__(self, path: Path) -> None:
        self._connection: Any = driver().connect(str(path), isolation_level=None)
        for pragma in PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")

    def claim(self, holder: str) -> tuple[Any, ...]:
        """Claim the next ready feature; returns its row."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        now = time.time()
        given = {"token": secrets.token_hex(6), "holder": holder, "now": now, "reading": time.monotonic()}
        rows: list[tuple[Any, ...]] = execute(CLAIM, given).fetchall()
        execute(EVENT, (rows[0][0], now, holder))
        execute("COMMIT")
        return rows[0]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
