"""Import: adds the features of another tool's backlog in one transaction, each at most once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, select

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, in_project
from dibs.transfer.formats.backlog import ImportedFeature
from dibs.verbs.batch import NewRow
from dibs.verbs.create import claim_numbers, insert_features
from dibs_schema.answers import Imported
from dibs_schema.status import Status

IMPORTER = "import"
BATCH = 500

_by_reference = select(F.id, F.reference, F.status).where(
    in_project(), F.reference.in_(bindparam("references", expanding=True))
)


def prepared_rows(imported: Iterable[ImportedFeature]) -> dict[str, NewRow]:
    """Return the rows of features by their references, before the transaction: 100,000 take seconds to prepare."""
    return {
        one.reference: NewRow.of(
            {
                "reference": one.reference,
                "category": one.category,
                "name": one.name,
                "description": one.description,
                "steps": one.steps,
                "priority": one.priority,
                "paths": one.paths,
                "evidence": {"summary": one.evidence} if one.evidence else None,
                "last_failure": one.last_failure,
                "human_request": one.human_request,
                "human_answer": one.human_answer,
            }
        )
        for one in imported
    }


def import_features(
    tx: Transaction, imported: list[ImportedFeature], prepared: Mapping[str, NewRow] | None = None
) -> Imported:
    """Add the features whose reference is new to the project, with their statuses and dependencies.

    `prepared` has their rows, unless they are to be prepared in the transaction. Features with a known reference stay
    unchanged, so a second import of a file adds nothing. Raises TooManyDependencies.
    """
    here: dict[str, int] = {}
    statuses: dict[int, str] = {}
    for start in range(0, len(imported), BATCH):
        rows = tx.all(_by_reference, references=[one.reference for one in imported[start : start + BATCH]])
        here |= {row["reference"]: row["id"] for row in rows}
        statuses |= {row["id"]: row["status"] for row in rows}
    new = [one for one in imported if one.reference not in here]
    if not new:
        return Imported(added=0, present=len(imported))
    first = claim_numbers(tx, len(new))
    numbers = here | {one.reference: number for number, one in enumerate(new, first)}
    edges = [(numbers[one.reference], numbers[other]) for one in new for other in dict.fromkeys(one.dependencies)]
    prepared = prepared_rows(new) if prepared is None else prepared
    insert_features(
        tx, IMPORTER, first, [(prepared[one.reference], _of_status(tx, one)) for one in new], edges, statuses
    )
    return Imported(added=len(new), present=len(imported) - len(new), first_id=first, last_id=first + len(new) - 1)


def _of_status(tx: Transaction, one: ImportedFeature) -> dict[str, Any]:
    passing = Status.PASSING in (one.status, one.archived_from)
    return {
        "status": one.status.value,
        "archived_from": one.archived_from.value if one.archived_from else None,
        "passed_by": IMPORTER if passing else None,
        "passed_at": tx.now if passing else None,
    }
