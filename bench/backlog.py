"""The backlog that is measured on."""

from __future__ import annotations

import gc
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs.verbs.create import create_bulk
from dibs_schema.inputs import NewFeature

BATCH = 500

Db = TypeVar("Db", Path, str)


def opened(db: Path | str, synchronous: str = "FULL", project: str | None = None) -> Database:
    """The backlog in `db`, a path or a URL, opened in this process; to be closed by the caller.

    As in a server that is warm, what was loaded by now is left to the end: collecting it takes 35 ms.
    """
    gc.freeze()
    flags = {"db": str(db), "synchronous": synchronous, "project": project}
    return open_database(Settings.read(flags, environ={}))


def make(path: Db, size: int, project: str | None = None) -> Db:
    """A backlog of so many ready features, with texts as long as planners write them."""
    database = opened(path, project=project)
    for start in range(0, size, BATCH):
        batch = [feature(number) for number in range(start, min(start + BATCH, size))]
        database.write_now(partial(create_bulk, by="planner", batch=batch))
    database.close(5)
    return path


def feature(number: int, **more: Any) -> NewFeature:
    """One feature, with texts as long as planners write them."""
    return NewFeature(
        category=f"area {number % 12}",
        name=f"Feature {number} does one thing that users asked for",
        description="As a user I want this to work, so that I can go on with what I came for. " * 6,
        steps=[
            f"Step {step}: open the page, act as described, and check what is shown" for step in range(1, 6)
        ],
        **more,
    )
