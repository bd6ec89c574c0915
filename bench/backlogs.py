"""Makes the backlogs that the benchmarks run on."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Integer, case, func, insert, literal, literal_column, null, select

from dibs.database import Database, open_database
from dibs.database.transaction import Transaction
from dibs.rules.claimant import Holder
from dibs.settings import Settings
from dibs.verbs.create import create_bulk
from dibs_schema.inputs import NewFeature
from dibs_schema.status import Status
from dibs_schema.tables import dependencies, features, projects

BATCH = 500
DESCRIPTION = "As a user I want this to work, so that I can go on with what I came for. "
STEPS = [f"Step {step}: open the page, act as described, and check what is shown" for step in range(1, 6)]
SHORT_STEPS = '["Open the page", "Act as described, and check what is shown"]'

Db = TypeVar("Db", Path, str)

_number = literal_column("number", Integer)
_F = features.c


def opened(db: Path | str, synchronous: str = "FULL", project: str | None = None) -> Database:
    """Open the backlog in `db`, a path or a URL, in this process; the caller closes it.

    It freezes the objects loaded so far, as a warm server does: collecting them takes 35 ms.
    """
    gc.freeze()
    flags = {"db": str(db), "synchronous": synchronous, "project": project}
    return open_database(Settings.read(flags, environ={}))


def holder(name: str) -> Holder:
    """Return the claimant with the given name and the default lease."""
    return Holder(name, named=True, session="bench", lease=120)


def feature(number: int, **more: Any) -> NewFeature:
    """Return a feature with a name, description and steps of realistic length."""
    return NewFeature(
        category=f"area {number % 12}",
        name=f"Feature {number} does one thing that users asked for",
        description=DESCRIPTION * 6,
        steps=STEPS,
        **more,
    )


def make(path: Db, size: int, project: str | None = None) -> Db:
    """Make a backlog of `size` ready features through the verbs, with descriptions of realistic length."""
    database = opened(path, project=project)
    for start in range(0, size, BATCH):
        batch = [feature(number) for number in range(start, min(start + BATCH, size))]
        database.write_now(partial(create_bulk, by="planner", entries=batch))
    database.close(5)
    return path


def make_large(path: Path, count: int, *, passing: int = 0, blocked: int = 0, dependents: int = 0) -> Path:
    """Make a large backlog in seconds: it inserts the rows that the verbs would leave.

    Args:
        path: The file.
        count: Features without the dependents.
        passing: How many of the first pass.
        blocked: How many of the following features depend on the last feature. The rest is ready.
        dependents: How many more features depend on each ready one.
    """
    database = opened(path, "NORMAL")

    def fill(tx: Transaction) -> None:
        ready = count - passing - blocked
        total = count + ready * dependents
        waiting = _number.between(passing + 1, passing + blocked) | (_number > count)
        _insert_features(tx, total, passing, waiting)
        if blocked:
            _insert_dependencies(tx, passing + 1, blocked, literal(count))
        if dependents:
            needed = passing + 1 + (_number - count - 1) // dependents
            _insert_dependencies(tx, count + 1, ready * dependents, needed)
        tx.run(projects.update().where(projects.c.id == tx.project.id).values(next_feature_id=total + 1))

    database.write_now(fill)
    database.close(5)
    return path


def _insert_features(tx: Transaction, count: int, passing: int, waiting: ColumnElement[bool]) -> None:
    passes = _number <= passing
    values: Mapping[Any, Any] = {
        _F.project_id: literal(tx.project.id),
        _F.id: _number,
        _F.status: case((passes, literal(Status.PASSING.value)), else_=literal(Status.PENDING.value)),
        _F.priority: _number,
        _F.skips: literal(0),
        _F.unmet_dependencies: case((waiting, literal(1)), else_=literal(0)),
        _F.attempts: literal(0),
        _F.failures: literal(0),
        _F.passed_by: case((passes, literal("bench")), else_=null()),
        _F.passed_at: case((passes, literal(tx.now)), else_=null()),
        _F.created_by: literal("bench"),
        _F.created_at: literal(tx.now),
        _F.updated_at: literal(tx.now),
        _F.reference: func.printf("REF-%06d", _number),
        _F.category: func.printf("area %d", _number % 12),
        _F.name: func.printf("Feature %d does one thing that users asked for", _number),
        _F.name_digest: func.printf("%032x", _number),
        _F.search_text: func.printf(
            "feature %d does one thing that users asked for\narea %d\nref-%06d", _number, _number % 12, _number
        ),
        _F.steps: literal_column(f"'{SHORT_STEPS}'"),
        _F.description: literal(DESCRIPTION.rstrip()),
    }
    rows = select(*values.values()).select_from(_numbers(1, count))
    tx.run(insert(features).from_select(list(values), rows))


def _insert_dependencies(tx: Transaction, first: int, count: int, needed: ColumnElement[Any]) -> None:
    columns = ["project_id", "feature_id", "dependency_id"]
    rows = select(literal(tx.project.id), _number, needed).select_from(_numbers(first, count))
    tx.run(insert(dependencies).from_select(columns, rows))


def _numbers(first: int, count: int) -> Any:
    """Return a table with the column `number`: `count` numbers from `first`."""
    numbers = select(literal(first).label("number")).cte("numbers", recursive=True)
    return numbers.union_all(select(numbers.c.number + 1).where(numbers.c.number < first + count - 1))
