"""A separate backlog for a test, and checks of its events."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dibs.client import server_command
from dibs.database import open_database
from dibs.database.transaction import Transaction
from dibs.settings import Settings
from dibs_proof.invariants import events_are_unbroken, one_holder_in_the_events
from dibs_proof.read_database import read_events, read_statuses

T = TypeVar("T")


@dataclass(frozen=True)
class Backlog:
    """A file of features in its own folder."""

    path: Path

    def server(self, *flags: str) -> list[str]:
        """The command of a server on this backlog."""
        return server_command("--db", str(self.path), *flags)

    def add(self, *features: dict[str, Any]) -> None:
        """Add features, each with the given fields."""
        plain = {"category": "e2e", "description": "Build it.", "steps": ["look at it"], "passes": False}
        source = self.path.with_name("feature_list.json")
        source.write_text(json.dumps([plain | one for one in features]), encoding="utf-8")
        command = [sys.executable, "-m", "dibs", "import", "--db", str(self.path), str(source)]
        subprocess.run(command, check=True, capture_output=True)

    def add_plain(self, count: int) -> None:
        """Add `count` features with default fields."""
        self.add(*({"name": f"Feature {number}"} for number in range(1, count + 1)))

    def statuses(self) -> dict[int, str]:
        """Return each feature's status."""
        return self._read(read_statuses)

    def claims(self) -> int:
        """Return the number of claims in the events, none of which overlap. Raises AssertionError."""
        journal = self._read(read_events)
        one_holder = one_holder_in_the_events(journal)
        assert one_holder.holds, one_holder.broken
        unbroken = events_are_unbroken(journal)
        assert unbroken.holds, unbroken.broken
        return one_holder.checked

    def _read(self, what: Callable[[Transaction], T]) -> T:
        database = open_database(Settings(db=str(self.path)))
        try:
            return database.read_now(what)
        finally:
            database.close(patience=5)
