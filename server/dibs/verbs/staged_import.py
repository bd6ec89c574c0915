"""Import many features in several short transactions, which together are all or nothing.

The features are staged in parts, which nobody else reads. One short statement publishes the import: the import gets its
ids, and from then on any process may add its parts, each in one transaction. An import that is never published is
discarded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

from sqlalchemy import bindparam, delete, func, insert, select, update

from dibs.database.compiled import JSONText
from dibs.database.transaction import Transaction
from dibs.rules.conditions import in_project
from dibs.rules.events import record_all
from dibs.rules.unfinished_imports import is_unfinished
from dibs.verbs.batch import NewRow
from dibs.verbs.create import claim_numbers, insert_features, known_statuses
from dibs_schema.file_areas import Area
from dibs_schema.status import Kind, Status
from dibs_schema.tables import features, import_parts, imports

IMPORTER = "import"
"""The author recorded for an import's changes."""
ABANDONED_AFTER = 3600.0
"""Seconds after which an import that was not published is discarded: its process has ended."""

_I, _P = imports.c, import_parts.c
_published = (
    select(_I.id, _I.first_id, _P.part)
    .select_from(imports)
    .join(import_parts, (_P.project_id == _I.project_id) & (_P.import_id == _I.id))
    .where(in_project(imports), _I.first_id.is_not(None))
    .order_by(_I.id, _P.part)
    .limit(1)
)
_begin = insert(imports).values(project_id=bindparam("project"), id=bindparam("import"), staged_at=bindparam("now"))
_this_import = in_project(imports) & (_I.id == bindparam("import"))
_parts_of = in_project(import_parts) & (_P.import_id == bindparam("import"))
_publish = update(imports).where(_this_import, _I.first_id.is_(None)).values(first_id=bindparam("first"))
_take_part = delete(import_parts).where(_parts_of, _P.part == bindparam("number")).returning(_P.features)
_parts_left = select(func.count()).select_from(import_parts).where(_parts_of)
_last_part = select(func.max(_P.part)).where(_parts_of)
_discard_part = delete(import_parts).where(_parts_of, _P.part == bindparam("number"))
_discard = delete(imports).where(_this_import)
_unpublished = select(_I.id).where(_this_import, _I.first_id.is_(None))
_abandoned = (
    select(_I.id)
    .where(in_project(imports), _I.first_id.is_(None), _I.staged_at < bindparam("now") - ABANDONED_AFTER)
    .order_by(_I.id)
    .limit(1)
)
_newest_references = (
    select(features.c.id)
    .where(in_project(), features.c.id > bindparam("known"), features.c.reference.is_not(None))
    .limit(1)
)


class StagedFeature(NamedTuple):
    """A feature as stored in a part: its place in the import from 0, its columns and areas, its state, and its notes.

    It depends on those at the places `within` the import, which come before it in the parts, and on features `here`.
    `height` is that of its critical path when the whole import is there.
    """

    place: int
    columns: dict[str, Any]
    areas: list[Area]
    status: str
    archived_from: str | None
    within: list[int]
    here: list[int]
    notes: list[str]
    height: int

    def row(self) -> NewRow:
        """Return the row to insert; its lists are JSON already."""
        as_text = {name: JSONText(one) for name in ("steps", "paths") if (one := self.columns.get(name)) is not None}
        return NewRow({**self.columns, **as_text}, [Area(*one) for one in self.areas])


class StagedPart(TypedDict):
    """A part of an import, as it is stored: who imports, and features."""

    by: str
    features: list[StagedFeature]


def state_columns(tx: Transaction, status: str, archived_from: str | None) -> dict[str, Any]:
    """Return the columns that store the state of an imported feature."""
    passing = Status.PASSING in (status, archived_from)
    return {
        "status": status,
        "archived_from": archived_from,
        "passed_by": IMPORTER if passing else None,
        "passed_at": tx.now if passing else None,
    }


def stage_part(tx: Transaction, name: str, part: int, staged: JSONText) -> bool:
    """Store a part of the import `name`, which begins with part 0: a `StagedPart` as JSON.

    Returns False, and changes nothing, if another process has discarded the import.
    """
    if part == 0:
        tx.run(_begin, **{"import": name})
    elif tx.first(_unpublished, **{"import": name}) is None:
        return False
    row = {"project_id": tx.project.id, "import_id": name, "part": part, "features": staged}
    tx.insert(import_parts, [row])
    return True


def publish(tx: Transaction, name: str, parts: int, count: int, known: int) -> int | None:
    """Publish an import of `count` features in `parts`, and return its first id; the rest follow without a gap.

    Returns None, and changes nothing, if another import must be finished first, or has added features with ids above
    `known` since the backlog was compared with the file, or if another process has discarded a part, since it took this
    import for an old one, as after a jump of the clock. Compare again.
    """
    if is_unfinished(tx) or tx.first(_newest_references, known=known) is not None:
        return None
    if tx.value(_parts_left, **{"import": name}) != parts:
        return None
    first = claim_numbers(tx, count)
    tx.run(_publish, **{"import": name, "first": first})
    return first


def add_part(tx: Transaction) -> int:
    """Add the features of the next part of a published import, and return how many; 0 if no part is left."""
    found = tx.first(_published)
    if found is None:
        return 0
    name, first = {"import": found["id"]}, found["first_id"]
    (row,) = tx.all(_take_part, number=found["part"], **name)
    staged = [StagedFeature(*one) for one in row["features"]["features"]]
    _add(tx, row["features"]["by"], first, staged)
    if not tx.value(_parts_left, **name):
        tx.run(_discard, **name)
        tx.grows = True
    return len(staged)


def _add(tx: Transaction, by: str, first: int, staged: Sequence[StagedFeature]) -> None:
    numbers = [first + one.place for one in staged]
    edges = [
        (first + one.place, other) for one in staged for other in (*(first + place for place in one.within), *one.here)
    ]
    own = set(numbers)
    statuses = known_statuses(tx, [other for _, other in edges if other not in own])
    rows = [(one.row(), state_columns(tx, one.status, one.archived_from) | _height(tx, one)) for one in staged]
    insert_features(tx, by, numbers, rows, edges, statuses)
    record_notes(tx, by, [(first + one.place, one.status, one.notes) for one in staged])


def _height(tx: Transaction, one: StagedFeature) -> dict[str, int]:
    return {"height": one.height} if tx.project.settings.order == "critical_path" else {}


def record_notes(tx: Transaction, by: str, noted: Sequence[tuple[int, str, Sequence[str]]]) -> None:
    """Write the notes of imported features, given by id, status and texts."""
    notes = [
        {"feature_id": number, "from_status": status, "to_status": status, "detail": {"note": note}}
        for number, status, texts in noted
        for note in texts
    ]
    record_all(tx, by, Kind.NOTE, notes)


def discard_part(tx: Transaction, name: str) -> bool:
    """Remove the last part of an import that is not published, or the import after its parts.

    Returns whether there may be more to remove: each call is a transaction, so that it is short.
    """
    own = {"import": name}
    if tx.first(_unpublished, **own) is None:
        return False
    last = tx.value(_last_part, **own)
    if last is None:
        tx.run(_discard, **own)
        return False
    tx.run(_discard_part, number=last, **own)
    return True


def abandoned_import(tx: Transaction) -> str | None:
    """Return the name of an import whose process ended before it was published, or None."""
    found = tx.first(_abandoned)
    return None if found is None else str(found["id"])
