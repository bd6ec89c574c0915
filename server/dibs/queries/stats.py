"""Statistics of the project."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import case, func, select

from dibs.database.transaction import Transaction
from dibs.queries.open_questions import count_open
from dibs.queries.queue_state import counts
from dibs.rules.conditions import F, in_project, ready
from dibs.rules.file_areas import files_are_claimed, held_back
from dibs.settings import shown_project
from dibs_schema.answers import Counts, Group, Stats
from dibs_schema.status import Status

GROUPS = 50
"""Groups in one answer, the largest first."""

_by_category = (
    select(
        F.category.label("name"),
        F.status,
        func.count().label("n"),
        func.sum(case((ready() & ~files_are_claimed(), 1), else_=0)).label("ready"),
        func.sum(case((held_back(), 1), else_=0)).label("held_back"),
    )
    .where(in_project())
    .group_by(F.category, F.status)
)
_none = (func.sum(0).label("ready"), func.sum(0).label("held_back"))
_agent = func.coalesce(F.claimed_by, F.passed_by)
_by_agent = (
    select(_agent.label("name"), F.status, func.count().label("n"), *_none)
    .where(in_project(), _agent.is_not(None))
    .group_by(_agent, F.status)
)


def get_stats(tx: Transaction, database: str, by: Literal["category", "agent"] | None = None) -> Stats:
    """Return counts by status, for the project and for each category, or for what each agent has claimed or passed."""
    found = counts(tx)
    included = {"pending includes ready": found.ready, "pending includes held_back": found.held_back}
    included |= {"pending includes to_answer": found.to_answer}
    included |= {"passing includes unconfirmed": found.unconfirmed, "total includes archived": found.archived}
    return Stats(
        project=shown_project(tx.project.name, database),
        database=database,
        counts=found,
        passing=found.passing,
        total=total_of(found),
        percent_passing=percent_passing(found),
        hint="; ".join(part for part, count in included.items() if count) or None,
        groups=_groups(tx, by) if by else [],
        open_questions=count_open(tx),
    )


def total_of(found: Counts) -> int:
    """Return the number of features, archived ones included."""
    return sum(getattr(found, status) for status in Status)


def percent_passing(found: Counts) -> float:
    """Return the share of passing features among those that are not archived, in percent."""
    not_archived = total_of(found) - found.archived
    return round(100 * found.passing / not_archived, 1) if not_archived else 0.0


def _groups(tx: Transaction, by: Literal["category", "agent"]) -> list[Group]:
    found: dict[str, dict[str, int]] = {}
    for row in tx.all(_by_category if by == "category" else _by_agent):
        group = found.setdefault(row["name"], {})
        group[row["status"]] = row["n"]
        for part in ("ready", "held_back"):
            group[part] = group.get(part, 0) + row[part]
    largest = sorted(found.items(), key=lambda item: (-sum(item[1].values()), item[0]))[:GROUPS]
    return [Group(name=name[:40], counts=Counts(**numbers)) for name, numbers in largest]
