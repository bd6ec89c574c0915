"""Writes to a backlog and reads from it, in the tests' own process."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import select

from dibs.database import Database
from dibs.queries.audit import audit
from dibs.verbs.create import create_bulk
from dibs.verbs.project_settings import change_setting
from dibs_schema.inputs import NewFeature
from dibs_schema.tables import events, features

SLOWER = float(os.environ.get("DIBS_TEST_SLOWER", "1"))
"""How many times longer a process may take than here: one under an emulator starts slowly."""
Row = Mapping[Any, Any]
LONG = os.environ.get("DIBS_TEST_LONG") == "1"
"""Whether this is a long run (DIBS_TEST_LONG=1) with every repetition, or a short run."""


SEED = int(os.environ.get("DIBS_TEST_SEED", random.randrange(10**9) if LONG else 20_261_120))
"""The seed of generated calls. The normal suite makes the same calls each time, a long run others; a failure names it."""

long_form = pytest.mark.skipif(not LONG, reason="one of many like it: DIBS_TEST_LONG=1 runs them all")


def times(short: int, full: int) -> int:
    """Return how often to repeat something: `full` times in a long run."""
    return full if LONG else short


def fill(database: Database, count: int, needs: Sequence[Sequence[int]] = ()) -> None:
    """Create features 1..count; `needs[n]` has the indices of the features that the n-th feature depends on."""
    batch = [
        NewFeature(
            category="races",
            name=f"secret name {number}",
            description="work",
            steps=["check it"],
            depends_on_indices=list(needs[number]) if needs else [],
        )
        for number in range(count)
    ]
    database.write_now(lambda tx: create_bulk(tx, "test", batch))


def rule(database: Database, name: str, value: int) -> None:
    """Change a setting of the project."""
    database.write_now(lambda tx: change_setting(tx, "test", name, value))


def row(database: Database, feature: int) -> Row:
    """Return a feature's row."""
    return database.read_now(lambda tx: tx.all(select(features).where(features.c.id == feature))[0])


def events_of(database: Database, feature: int | None = None) -> Sequence[Row]:
    """Return the events of a feature, or of all features, oldest first."""
    wanted = select(events).order_by(events.c.id)
    if feature is not None:
        wanted = wanted.where(events.c.feature_id == feature)
    return database.read_now(lambda tx: tx.all(wanted))


def reading(database: Database) -> float:
    """Return the reading of the lease clock."""
    return database.read_now(lambda tx: tx.reading)


def on_this_clock(database: Database, reading_: float) -> float:
    """Convert a reading of the lease clock to the monotonic clock of the tests."""
    return time.monotonic() + reading_ - reading(database)


def kinds(database: Database, feature: int) -> list[str]:
    """Return the kinds of a feature's events, oldest first."""
    return [event["kind"] for event in events_of(database, feature)]


def assert_sound(database: Database) -> None:
    """Assert that an audit finds no difference."""
    assert database.read_now(audit).unsound == []


def eventually(true: Callable[[], Any], within: float = 10.0) -> float:
    """Wait until `true()` holds, and return how long it took, in seconds. Fails after `within` seconds."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within, "it did not happen in time"
        time.sleep(0.01)
    return time.monotonic() - began
