"""A project's rows, brought from one database into another, and a digest by which both can be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, bindparam, delete, func, insert, inspect, select, update

from dibs.rules.conditions import in_project
from dibs.transfer.exclusive import Sole
from dibs_schema.status import Status
from dibs_schema.tables import events, features, metadata, projects

Advance = Callable[[int], object]
"""Told how many further rows were read or compared."""

TABLES = [table for table in metadata.sorted_tables if "project_id" in table.c]
"""What belongs to a project, in the order in which rows may be inserted."""

ON_ITS_WAY = "copied"
"""The lease clock of a live claim in a copy that is not live yet."""

_IDENTITY = {"id", "name", "generation", "moved_to"}
_OWN = {"events": {"xact"}}
"""Columns that each database fills in by itself."""
_RECKONED = {"features": {"lease_clock", "lease_ends", "lease_expires_at"}}
"""Columns that say the same in the words of another clock."""
_MODULUS = 1 << 128


@dataclass(slots=True)
class Digest:
    """How many rows a table has, and the sum of their hashes, in which the order plays no part.

    Engines sort texts each in their own way.
    """

    rows: int = 0
    total: int = 0

    def add(self, values: list[Any]) -> None:
        """Count a row in."""
        canonical = json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
        self.rows += 1
        hashed = hashlib.blake2b(canonical, digest_size=16).digest()
        self.total = (self.total + int.from_bytes(hashed)) % _MODULUS


def count_rows(tx: Sole) -> int:
    """How many rows belong to the project."""
    return sum(
        int(tx.value(select(func.count()).select_from(table).where(in_project(table)))) for table in TABLES
    )


def clear(tx: Sole) -> None:
    """Remove the project's rows; its own row stays."""
    for table in reversed(TABLES):
        tx.run(delete(table).where(in_project(table)))


def remove_others(tx: Sole) -> bool:
    """Remove every other project; whether there was one."""
    for table in reversed(TABLES):
        tx.run(delete(table).where(table.c.project_id != bindparam("project")))
    return tx.run(delete(projects).where(projects.c.id != bindparam("project"))) > 0


def bring_settings(source: Sole, target: Sole) -> None:
    """Give the target's project the settings and counters of the source's."""
    statement = update(projects).where(projects.c.id == bindparam("project"))
    target.run(statement.values(_settings(source)))


def bring_rows(source: Sole, target: Sole, shift: int, advance: Advance) -> dict[str, Digest]:
    """Copy every row but the project's own; returns what the source has.

    Ids stay as they are; those of events are moved by `shift`. The leases of claims are reckoned in the
    target's clock where they have run out; the others begin when the copy becomes live.
    """
    found = {"projects": Digest()}
    found["projects"].add(list(_settings(source).values()))
    for table in TABLES:
        digest = found[table.name] = Digest()
        compared = _compared(table)
        for rows in source.stream(_of_project(table)):
            for row in rows:
                digest.add([row[name] for name in compared])
                row["project_id"] = target.project.id
                if table is events:
                    row["id"] += shift
                elif table is features and row["status"] == Status.IN_PROGRESS:
                    _reckon_lease(row, source, target)
            target.insert(insert(table), rows)
            advance(len(rows))
    return found


def digests(tx: Sole, shift: int, advance: Advance) -> dict[str, Digest]:
    """What the database has of the project, as `bring_rows` returns it of the source."""
    found = {"projects": Digest()}
    found["projects"].add(list(_settings(tx).values()))
    for table in TABLES:
        digest = found[table.name] = Digest()
        compared = _compared(table)
        for rows in tx.stream(_of_project(table)):
            for row in rows:
                if table is events:
                    row["id"] -= shift
                digest.add([row[name] for name in compared])
            advance(len(rows))
    return found


def events_shift(source: Sole, target: Sole) -> int:
    """By how much the events' ids must move: 0, unless they are one sequence there and some are taken."""
    first, last = source.all(_ends_of_events)[0].values()
    key = inspect(target.connection).get_pk_constraint("events")["constrained_columns"]
    if first is None or key != ["id"] or not target.value(_taken, first=first, last=last):
        return 0
    return int(target.value(_greatest)) - int(first) + 1


def last_event(tx: Sole) -> int:
    """The greatest id of the project's events, 0 where there is none."""
    return int(tx.all(_ends_of_events)[0]["last"] or 0)


_ends_of_events = select(func.min(events.c.id).label("first"), func.max(events.c.id).label("last")).where(
    in_project(events)
)
_taken = select(func.count()).where(events.c.id.between(bindparam("first"), bindparam("last")))
_greatest = select(func.max(events.c.id))


def _of_project(table: Table) -> Any:
    own = _OWN.get(table.name, set()) | {"project_id"}
    return select(*(column for column in table.c if column.name not in own)).where(in_project(table))


def _compared(table: Table) -> list[str]:
    left_out = _OWN.get(table.name, set()) | _RECKONED.get(table.name, set()) | {"project_id"}
    return [column.name for column in table.c if column.name not in left_out]


def _settings(tx: Sole) -> dict[str, Any]:
    kept = [column for column in projects.c if column.name not in _IDENTITY]
    return dict(tx.all(select(*kept).where(projects.c.id == bindparam("project")))[0])


def _reckon_lease(row: dict[str, Any], source: Sole, target: Sole) -> None:
    """No clock of one machine says anything on another, but how long ago a lease ran out does."""
    ours = row["lease_clock"] == source.clock
    left = row["lease_ends"] - source.reading if ours else row["lease_expires_at"] - source.now
    row["lease_clock"] = ON_ITS_WAY if left >= 0 else target.clock
    left = min(left, row["lease_seconds"])
    row["lease_ends"] = target.reading + left
    row["lease_expires_at"] = target.now + left
