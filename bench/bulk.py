"""Backlogs of any size in seconds: rows written by the tables themselves, as the verbs would leave them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Integer, case, func, insert, literal, literal_column, null, select

from bench import backlog
from dibs.database.transaction import Transaction
from dibs_schema.status import Status
from dibs_schema.tables import dependencies, features, projects

STEPS = '["Open the page", "Act as described, and check what is shown"]'
TEXT = "As a user I want this to work, so that I can go on with what I came for."

_number = literal_column("number", Integer)
_F = features.c


def make(path: Path, count: int, *, passing: int = 0, blocked: int = 0, dependents: int = 0) -> Path:
    """A backlog of `count` features: the first `passing` of them pass, the next `blocked` wait, the rest is ready.

    What is blocked waits for the last feature. With `dependents` each ready feature has so many of its own
    behind it, which are `count` and more.
    """
    database = backlog.opened(path, "NORMAL")

    def fill(tx: Transaction) -> None:
        hubs = count - passing - blocked
        total = count + hubs * dependents
        waiting = _number.between(passing + 1, passing + blocked) | (_number > count)
        _features(tx, total, passing, waiting)
        if blocked:
            _edges(tx, passing + 1, blocked, literal(count))
        if dependents:
            _edges(tx, count + 1, hubs * dependents, passing + 1 + (_number - count - 1) // dependents)
        tx.run(projects.update().where(projects.c.id == tx.project.id).values(next_feature_id=total + 1))

    database.write_now(fill)
    database.close(5)
    return path


def _features(tx: Transaction, count: int, passing: int, waiting: ColumnElement[bool]) -> None:
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
        _F.steps: literal_column(f"'{STEPS}'"),
        _F.description: literal(TEXT),
    }
    tx.run(
        insert(features).from_select(list(values), select(*values.values()).select_from(_numbers(1, count)))
    )


def _edges(tx: Transaction, first: int, count: int, needed: ColumnElement[Any]) -> None:
    columns = ["project_id", "feature_id", "dependency_id"]
    rows = select(literal(tx.project.id), _number, needed).select_from(_numbers(first, count))
    tx.run(insert(dependencies).from_select(columns, rows))


def _numbers(first: int, count: int) -> Any:
    """A table of so many numbers from `first` on, in its column `number`."""
    numbers = select(literal(first).label("number")).cte("numbers", recursive=True)
    return numbers.union_all(select(numbers.c.number + 1).where(numbers.c.number < first + count - 1))
