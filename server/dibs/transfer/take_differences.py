"""Takes differences from a file: texts, priority, dependencies, notes and states, never over a live claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import String, bindparam, func, update

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, is_, this
from dibs.rules.dependencies import block_dependents, unblock_dependents
from dibs.rules.events import record
from dibs.transfer.comparison import TEXTS, Comparison, Difference
from dibs.transfer.formats.backlog import ImportedFeature
from dibs.verbs.depend import dependencies_of, set_dependencies
from dibs.verbs.staged_import import IMPORTER
from dibs.verbs.update import add_note, change
from dibs_schema.answers import CLAIMED, NEEDS_FORCE
from dibs_schema.status import Kind, Status
from dibs_schema.tables import features

GIVEN_UP_FREELY = {Status.PASSING: {Status.ARCHIVED}, Status.NEEDS_HUMAN: {Status.PASSING, Status.ARCHIVED}}
"""The states that a feature leaves only for these without force: they stand for work, and for questions of agents."""


class Kept(NamedTuple):
    """A difference that was not taken, and why."""

    difference: Difference
    reason: str


# Changes nothing, but locks the row, so that nobody claims the feature before this commit.
_lock_unclaimed = update(features).where(this(), ~is_(Status.IN_PROGRESS)).values(status=F.status).returning(F.status)
_enter = (
    update(features)
    .where(this(), F.status == bindparam("left", type_=String))
    .values(
        {
            F.status: bindparam("entered", type_=String),
            F.passed_by: bindparam("passer", type_=F.passed_by.type),
            F.passed_at: bindparam("passed", type_=F.passed_at.type),
            F.evidence: func.coalesce(bindparam("proof", type_=F.evidence.type), F.evidence),
            F.last_failure: func.coalesce(bindparam("why", type_=F.last_failure.type), F.last_failure),
            F.human_request: bindparam("asked", type_=F.human_request.type),
            F.human_answer: bindparam("answered", type_=F.human_answer.type),
            **dict.fromkeys([F.attempts, F.failures, F.skips], 0),
            **dict.fromkeys([F.not_before, F.testing_until, F.ended_token, F.ended_by]),
            **dict.fromkeys([F.unconfirmed_since, F.confirmed_by, F.recheck_since]),
            F.updated_at: bindparam("now"),
        }
    )
)


def would_keep(comparison: Comparison, *, force: bool) -> list[Kept]:
    """Return the differences that `take_differences` would leave as they are, as long as nobody changes a feature."""
    claimed = set(comparison.claimed)
    return [
        Kept(one, CLAIMED if one.feature in claimed else NEEDS_FORCE)
        for one in comparison.differences
        if one.feature in claimed
        or (one.field == "status" and not force and one.there not in GIVEN_UP_FREELY.get(one.here, Status))
    ]


def take_differences(
    tx: Transaction,
    differences: Sequence[Difference],
    imported: Mapping[str, ImportedFeature],
    numbers: Mapping[str, int],
    *,
    force: bool,
) -> list[Kept]:
    """Change the features to what the file says, and return the differences that stay.

    `numbers` has the features by their references in the file. With `force`, work that is done here may be undone.
    Raises WouldCycle and TooManyDependencies.
    """
    kept: list[Kept] = []
    inside = set(numbers.values())
    for number, group in groupby(differences, attrgetter("feature")):
        wanted = {one.field: one for one in group}
        row = tx.first(_lock_unclaimed, feature=number)
        if row is None:
            kept += [Kept(one, CLAIMED) for one in wanted.values()]
            continue
        one = imported[next(iter(wanted.values())).reference]
        texts = {name: getattr(one, name) for name in TEXTS if name in wanted}
        if texts:
            change(tx, IMPORTER, number, texts)
        if "dependencies" in wanted:
            outside = [other for other in dependencies_of(tx, number) if other not in inside]
            set_dependencies(tx, IMPORTER, number, [*outside, *(numbers[other] for other in one.dependencies)])
        for note in wanted["notes"].there if "notes" in wanted else ():
            add_note(tx, IMPORTER, number, note)
        if "status" in wanted and not _enter_status(tx, number, Status(row["status"]), one, force=force):
            kept.append(Kept(wanted["status"], NEEDS_FORCE))
    return kept


def _enter_status(tx: Transaction, number: int, here: Status, one: ImportedFeature, *, force: bool) -> bool:
    """Set a feature to its state in the file, unless that needs `force`. Returns whether it has that state now."""
    if here is one.status:
        return True
    if not force and one.status not in GIVEN_UP_FREELY.get(here, Status):
        return False
    if Status.ARCHIVED in (here, one.status):
        left_in = change(tx, IMPORTER, number, {}, archived=one.status is Status.ARCHIVED).status
        return _enter_status(tx, number, Status(left_in), one, force=force)
    passes = one.status is Status.PASSING
    tx.run(
        _enter,
        feature=number,
        left=here.value,
        entered=one.status.value,
        passer=IMPORTER if passes else None,
        passed=tx.now if passes else None,
        proof=one.proof,
        why=one.last_failure,
        asked=one.human_request,
        answered=one.human_answer,
    )
    if passes:
        unblock_dependents(tx, number)
        tx.wakes = True
    elif here is Status.PASSING:
        block_dependents(tx, IMPORTER, number)
    record(tx, IMPORTER, Kind.IMPORT, number, here, one.status)
    return True
