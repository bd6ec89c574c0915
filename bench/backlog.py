"""The backlog that is measured on."""

from __future__ import annotations

from pathlib import Path

from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs.verbs.create import create_bulk
from dibs_schema.inputs import NewFeature

BATCH = 500


def opened(path: Path, synchronous: str = "FULL") -> Database:
    """The backlog in `path`, opened in this process; to be closed by the caller."""
    return open_database(Settings.read({"db": str(path), "synchronous": synchronous}, environ={}))


def make(path: Path, size: int) -> Path:
    """A backlog of so many ready features, with texts as long as planners write them."""
    database = opened(path)
    for start in range(0, size, BATCH):
        batch = [_feature(number) for number in range(start, min(start + BATCH, size))]
        database.write_now(lambda tx, batch=batch: create_bulk(tx, "planner", batch))  # type: ignore[misc]
    database.close(5)
    return path


def _feature(number: int) -> NewFeature:
    return NewFeature(
        category=f"area {number % 12}",
        name=f"Feature {number} does one thing that users asked for",
        description="As a user I want this to work, so that I can go on with what I came for. " * 6,
        steps=[
            f"Step {step}: open the page, act as described, and check what is shown" for step in range(1, 6)
        ],
    )
