"""Export: the features of a project as one snapshot, in the order of their ids, for a file that people review."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from sqlalchemy import ColumnElement, Select, Table, bindparam, func, select

from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import F, among, in_project, is_
from dibs.rules.verification import shown
from dibs.transfer.formats.exported import FIELDS, ExportedFeature, Header, Write
from dibs.transfer.sources import backlog_id, own_reference
from dibs_schema.status import Kind, Status
from dibs_schema.tables import dependencies, events, features, questions

PAGE = 500
"""Features in memory at a time."""

COLUMNS = [name for name in (*FIELDS, "created_at", "passed_at") if name in F]
"""The columns of a feature that an export reads; its other fields come from other tables."""

_D, _E = dependencies.c, events.c


def _count_of(table: Table, condition: ColumnElement[bool]) -> Select[int]:
    """Return the query that counts the project's rows that meet the condition."""
    return select(func.count()).select_from(table).where(in_project(table), condition)


_next_page = (
    select(*(F[name] for name in COLUMNS)).where(in_project(), F.id > bindparam("after")).order_by(F.id).limit(PAGE)
)
_dependencies_of = (
    select(_D.feature_id, _D.dependency_id)
    .where(in_project(dependencies), _D.feature_id.between(bindparam("first"), bindparam("last")))
    .order_by(_D.feature_id, _D.dependency_id)
)
_notes_of = (
    select(_E.feature_id, _E.detail)
    .where(
        in_project(events), _E.feature_id.between(bindparam("first"), bindparam("last")), among(_E.kind, [Kind.NOTE])
    )
    .order_by(_E.feature_id, _E.id)
)
_claims = _count_of(features, is_(Status.IN_PROGRESS))
_open_questions = _count_of(questions, questions.c.answered_at.is_(None))
_unconfirmed = _count_of(features, F.unconfirmed_since.is_not(None))
_rechecks = _count_of(features, F.recheck_since.is_not(None))
LEFT_OUT = {
    "claim": _claims,
    "open question": _open_questions,
    "missing confirmation": _unconfirmed,
    "pending recheck": _rechecks,
}
"""What no format holds although it still has an effect, and the query that counts it."""


@dataclass(slots=True)
class Exported:
    """The number of features in an export, and how many items of each kind it leaves out."""

    features: int
    left_out: dict[str, int]


def write_export(tx: Transaction, write: Write, out: IO[bytes]) -> Exported:
    """Write the project to `out` in UTF-8, from its beginning: the engine may repeat the read."""
    out.seek(0)
    out.truncate()
    count = 0

    def counted() -> Iterator[ExportedFeature]:
        nonlocal count
        for feature in exported_features(tx):
            count += 1
            yield feature

    out.writelines(part.encode() for part in write(Header(backlog_id(tx), tx.project.name), counted()))
    left_out = {what: tx.value(statement) for what, statement in LEFT_OUT.items()}
    return Exported(count, {what: number for what, number in left_out.items() if number})


def exported_features(tx: Transaction) -> Iterator[ExportedFeature]:
    """Yield the features in the order of their ids, PAGE of them in memory."""
    after = 0
    while rows := tx.all(_next_page, after=after):
        first, after = rows[0]["id"], rows[-1]["id"]
        needs, notes = defaultdict[int, list[int]](list), defaultdict[int, list[str]](list)
        for edge in tx.all(_dependencies_of, first=first, last=after):
            needs[edge["feature_id"]].append(edge["dependency_id"])
        for note in tx.all(_notes_of, first=first, last=after):
            notes[note["feature_id"]].append(note["detail"]["note"])
        for row in rows:
            yield _exported(row, needs[row["id"]], notes[row["id"]])


def _exported(row: Row, needs: list[int], notes: list[str]) -> ExportedFeature:
    status = Status.PENDING if row["status"] == Status.IN_PROGRESS else row["status"]
    states = (status, row["archived_from"])
    waits = Status.NEEDS_HUMAN in states
    answered = Status.PENDING in states and row["human_answer"] is not None
    values: dict[str, Any] = {
        **row,
        "reference": own_reference(row["reference"], row["source"]) if row["reference"] else None,
        "status": status,
        "passes": Status.PASSING in states,
        "dependencies": needs,
        "notes": notes,
        "human_request": row["human_request"] if waits or answered else None,
        "human_answer": row["human_answer"] if answered else None,
        "evidence": shown(row["evidence"])[0],  # a file proves nothing
    }
    given = {name: values.get(name) for name in FIELDS}
    kept = {name: value for name, value in given.items() if value not in (None, []) or name == "steps"}
    return kept | {"created_at": row["created_at"], "passed_at": row["passed_at"]}
