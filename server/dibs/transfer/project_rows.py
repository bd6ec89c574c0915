"""The rows of a project: copied from one database to another, and compared by digests."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Table, bindparam, delete, func, inspect, select, update

from dibs.database.project_row import Freeze
from dibs.rules.conditions import in_project, leased
from dibs.transfer.bulk import BulkTransaction
from dibs_schema.refusals import DatabaseDamaged
from dibs_schema.status import Status
from dibs_schema.tables import HEAD, events, features, imports, metadata, projects, questions, requests

Progress = Callable[[str, int, int], object]
"""Receives the name of the current step, the number of finished rows, and the total number of rows."""
Advance = Callable[[int], object]
"""Receives the number of rows that were finished since the last call."""

TABLES = [table for table in metadata.sorted_tables if "project_id" in table.c]
"""The tables with rows of a project, in an order in which rows may be inserted."""
PENDING_LEASE = "copied"
"""The lease clock of a live claim in a copy that is not live yet."""

_IDENTITY = {"id", "name", "generation", "moved_to"}
_OWN_COLUMNS = {"events": {"xact"}}
"""Columns that each database fills itself."""
_CLOCK_COLUMNS = {"features": {"lease_clock", "lease_ends", "lease_expires_at"}}
"""Columns that are converted to the clock of the target database."""

_P = projects.c
_this_project = update(projects).where(_P.id == bindparam("project"))
_set_mark = _this_project.values(generation=bindparam("new_generation"), moved_to=bindparam("mark"))
_counters = select(_P.next_feature_id, _P.next_question_id).where(_P.id == bindparam("project"))
_ends_of_events = select(func.min(events.c.id).label("first"), func.max(events.c.id).label("last")).where(
    in_project(events)
)
_taken = select(func.count()).where(events.c.id.between(bindparam("first"), bindparam("last")))
_greatest = select(func.max(events.c.id))
count_claims = select(func.count()).select_from(features).where(in_project(), leased())


@dataclass(slots=True)
class Digest:
    """The number of a table's rows, and the sum of their hashes.

    The sum does not depend on the order of rows, because engines sort text differently.
    """

    rows: int = 0
    total: int = 0

    def add(self, values: list[Any]) -> None:
        """Add a row."""
        canonical = json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
        self.rows += 1
        self.total += int.from_bytes(hashlib.blake2b(canonical, digest_size=16).digest())


@dataclass(frozen=True, slots=True)
class ProjectDigest:
    """A new generation for a project, the digest of each of its tables, and the shift of its event ids."""

    generation: str
    tables: Mapping[str, Digest]
    shift: int = 0

    @property
    def rows(self) -> dict[str, int]:
        """The number of rows of each table."""
        return {name: digest.rows for name, digest in self.tables.items()}

    @property
    def digest(self) -> str:
        """One digest over all tables."""
        return _sum(self.tables.values())

    @property
    def seal(self) -> str:
        """The version of the schema, and one digest over all tables but `writers`, which each writer changes."""
        return f"{HEAD}:{_sum(digest for name, digest in self.tables.items() if name != 'writers')}"


def _sum(parts: Iterable[Digest]) -> str:
    return f"{sum(one.total for one in parts) % (1 << 128):032x}"


def write_copy(
    here: BulkTransaction, there: BulkTransaction, mark: Freeze, label: str, progress: Progress
) -> ProjectDigest:
    """Replace the project in `there` by the project in `here`, under a mark, and compare both. Commits nothing.

    `label` names the target in messages. Raises DatabaseDamaged if the copy differs from its source.
    """
    advance = _row_counter(progress, count_rows(here) * 2)
    generation = secrets.token_hex(8)
    clear(there)
    set_mark(there, generation, mark)
    there.run(_this_project.values(_settings(here)))
    shift = _events_shift(here, there)
    read = _copy_rows(here, there, shift, partial(advance, "copying"))
    if _digests(there, shift, partial(advance, "comparing")) != read:
        raise DatabaseDamaged(
            f"The copy at {label} differs from what was read at {mark.label}. The copy was rolled back, and the project "
            "stays where it is. Run `dibs doctor` on both databases."
        )
    there.settle(int(there.all(_ends_of_events)[0]["last"] or 0))
    return ProjectDigest(generation, read, shift)


def digest_of(there: BulkTransaction, progress: Progress) -> ProjectDigest:
    """Return the digest of a project that was copied by other means than `write_copy`."""
    advance = _row_counter(progress, count_rows(there))
    return ProjectDigest(secrets.token_hex(8), _digests(there, 0, partial(advance, "reading")))


def set_mark(there: BulkTransaction, generation: str, mark: Freeze | None) -> None:
    """Set the project's generation and its mark; without a mark the project is live."""
    there.run(_set_mark, new_generation=generation, mark=str(mark) if mark is not None else None)


def is_used(there: BulkTransaction) -> bool:
    """Check whether the project has ever contained a feature, an event, a question or a request, or has an import."""
    return set(there.all(_counters)[0].values()) != {1} or any(
        _count(there, table) for table in (features, events, questions, requests, imports)
    )


def count_rows(tx: BulkTransaction) -> int:
    """Return how many rows belong to the project, not counting its row in `projects`."""
    return sum(_count(tx, table) for table in TABLES)


def _count(tx: BulkTransaction, table: Table) -> int:
    return int(tx.value(select(func.count()).select_from(table).where(in_project(table))))


def clear(tx: BulkTransaction) -> None:
    """Delete the project's rows in all tables except `projects`."""
    for table in reversed(TABLES):
        tx.run(delete(table).where(in_project(table)))


def remove_others(tx: BulkTransaction) -> bool:
    """Delete every other project, and return whether there was one."""
    for table in reversed(TABLES):
        tx.run(delete(table).where(table.c.project_id != bindparam("project")))
    return tx.run(delete(projects).where(_P.id != bindparam("project"))) > 0


def _row_counter(progress: Progress, total: int) -> Callable[[str, int], None]:
    done = 0

    def advance(what: str, rows: int) -> None:
        nonlocal done
        done += rows
        progress(what, done, total)

    return advance


def _copy_rows(source: BulkTransaction, target: BulkTransaction, shift: int, advance: Advance) -> dict[str, Digest]:
    """Copy all rows except the one in `projects`, and return the digests of the source.

    Ids stay the same, but `shift` is added to the ids of events. Expired leases are converted to the target's clock.
    The other leases begin when the copy becomes live.
    """
    found: dict[str, Digest] = {}
    for table, rows in _digested(source, 0, advance, found):
        for row in rows:
            row["project_id"] = target.project.id
            if table is events:
                row["id"] += shift
            elif table is features and row["status"] == Status.IN_PROGRESS:
                _convert_lease(row, source, target)
        target.insert(table, rows)
    return found


def _digests(tx: BulkTransaction, shift: int, advance: Advance) -> dict[str, Digest]:
    """Return the digests of the project, with the ids of events reduced by `shift`."""
    found: dict[str, Digest] = {}
    for _ in _digested(tx, shift, advance, found):
        pass
    return found


def _digested(
    tx: BulkTransaction, shift: int, advance: Advance, found: dict[str, Digest]
) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    """Yield the rows of all tables in batches, and add them to the digests in `found`."""
    found["projects"] = Digest()
    found["projects"].add(list(_settings(tx).values()))
    for table in TABLES:
        digest = found[table.name] = Digest()
        own = _OWN_COLUMNS.get(table.name, set()) | {"project_id"}
        columns = [column for column in table.c if column.name not in own]
        compared = [one.name for one in columns if one.name not in _CLOCK_COLUMNS.get(table.name, set())]
        for rows in tx.stream(select(*columns).where(in_project(table))):
            for row in rows:
                if table is events:
                    row["id"] -= shift
                digest.add([row[name] for name in compared])
            yield table, rows
            advance(len(rows))


def _settings(tx: BulkTransaction) -> dict[str, Any]:
    columns = [column for column in projects.c if column.name not in _IDENTITY]
    return dict(tx.all(select(*columns).where(_P.id == bindparam("project")))[0])


def _events_shift(source: BulkTransaction, target: BulkTransaction) -> int:
    """Return the number to add to event ids: 0 unless the target's shared sequence has used some of them."""
    first, last = source.all(_ends_of_events)[0].values()
    key = inspect(target.connection).get_pk_constraint("events")["constrained_columns"]
    if first is None or key != ["id"] or not target.value(_taken, first=first, last=last):
        return 0
    return int(target.value(_greatest)) - int(first) + 1


def _convert_lease(row: dict[str, Any], source: BulkTransaction, target: BulkTransaction) -> None:
    """Convert a lease to the target's clock by its remaining seconds: clocks of two machines cannot be compared."""
    same_clock = row["lease_clock"] == source.clock
    left = row["lease_ends"] - source.reading if same_clock else row["lease_expires_at"] - source.now
    row["lease_clock"] = PENDING_LEASE if left >= 0 else target.clock
    left = min(left, row["lease_seconds"])
    row["lease_ends"] = target.reading + left
    row["lease_expires_at"] = target.now + left
