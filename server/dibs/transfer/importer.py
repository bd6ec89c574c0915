"""Import: adds the features of another tool's backlog in one transaction, each at most once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import bindparam, select, update

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, in_project
from dibs.rules.unfinished_imports import is_unfinished
from dibs.transfer.comparison import Comparison, batches, compare, refuse_too_many
from dibs.transfer.formats.backlog import Backlog, ImportedFeature
from dibs.transfer.take_differences import Kept, take_differences, would_keep
from dibs.verbs.batch import NewRow
from dibs.verbs.create import claim_numbers, insert_features, known_statuses
from dibs.verbs.staged_import import IMPORTER, record_notes, state_columns
from dibs_schema.answers import NOT_ASKED, Imported
from dibs_schema.tables import features

_taken = select(F.id).where(in_project(), F.reference.in_(bindparam("references", expanding=True))).limit(1)
_adopt = (
    update(features)
    .where(in_project(), F.id.in_(bindparam("ids", expanding=True)), F.source.is_(None))
    .values(source=bindparam("list"))
)


class Outdated(Exception):  # noqa: N818 - an expected answer
    """Another import is unfinished, or has added features since the comparison: finish it, and compare again."""


@dataclass(frozen=True, slots=True)
class Import:
    """One import: the backlog of a file, the user's options, and what is prepared before the transaction.

    New features are added under the name `by`. `source` is what the references belong to, which the user may have
    `named`. With `update` it takes the differences, and with `force` even those that undo work. `rows` are the features
    as they will be stored, by their references.
    """

    backlog: Backlog
    source: str
    named: bool = False
    update: bool = False
    force: bool = False
    by: str = IMPORTER
    rows: dict[str, NewRow] = field(default_factory=dict)

    def compare(self, tx: Transaction) -> Comparison:
        """Compare with the project, and prepare the rows of new features: others wait during a transaction."""
        comparison = compare(tx, self.backlog, self.source, named=self.named)
        self.rows.clear()
        self.rows.update(_rows(comparison))
        return comparison

    def would_keep(self, comparison: Comparison) -> list[Kept]:
        """Return the differences that would stay as they are."""
        if self.update:
            return would_keep(comparison, force=self.force)
        return [Kept(one, NOT_ASKED) for one in comparison.differences]

    def apply(self, tx: Transaction, comparison: Comparison) -> tuple[Imported, list[Kept]]:
        """Add and change the features as compared in one transaction, and return the differences that stay.

        Raises Outdated, and the refusals of `take_differences`.
        """
        if is_unfinished(tx) or _any_taken(tx, list(comparison.stored.values())):
            raise Outdated
        numbers = dict(comparison.numbers)
        new = comparison.new
        first = _insert(tx, self.by, new, self.rows, numbers) if new else None
        adopt(tx, comparison)
        kept = self.would_keep(comparison)
        if self.update:
            imported = {one.reference: one for one in self.backlog.features}
            kept = take_differences(tx, comparison.differences, imported, numbers, force=self.force)
        return summary(comparison, kept, first), kept


def import_features(
    tx: Transaction, imported: list[ImportedFeature], source: str = "list", *, update: bool = False, force: bool = False
) -> Imported:
    """Import features without a file, in one transaction. Raises the refusals of `Import`, and Outdated."""
    one = Import(Backlog("features", imported), source, update=update, force=force)
    return one.apply(tx, one.compare(tx))[0]


def summary(comparison: Comparison, kept: Sequence[Kept], first: int | None = None) -> Imported:
    """Return the counts of an import whose first new feature is `first`."""
    differences = comparison.differences
    return Imported(
        added=len(comparison.new),
        present=len(comparison.numbers),
        source=comparison.source,
        first_id=first,
        last_id=None if first is None else first + len(comparison.new) - 1,
        differing=dict(Counter(one.field for one in differences)),
        taken=len(differences) - len(kept),
        kept=dict(Counter(one.reason for one in kept)),
        gone=list(comparison.gone),
    )


def _rows(comparison: Comparison) -> dict[str, NewRow]:
    return {
        one.reference: NewRow.of(
            {
                "reference": comparison.stored[one.reference],
                "source": comparison.source,
                "category": one.category,
                "name": one.name,
                "description": one.description,
                "steps": one.steps,
                "priority": one.priority,
                "paths": one.paths,
                "evidence": one.proof,
                "last_failure": one.last_failure,
                "human_request": one.human_request,
                "human_answer": one.human_answer,
            }
        )
        for one in comparison.new
    }


def _insert(
    tx: Transaction, by: str, new: Sequence[ImportedFeature], rows: Mapping[str, NewRow], numbers: dict[str, int]
) -> int:
    """Insert the new features with their dependencies and notes, add them to `numbers`, and return the first number."""
    refuse_too_many(tx, new)
    here = list(numbers.values())
    first = claim_numbers(tx, len(new))
    numbers.update({one.reference: number for number, one in enumerate(new, first)})
    edges = [(numbers[one.reference], numbers[other]) for one in new for other in one.dependencies]
    needed = {other for _, other in edges}
    statuses = known_statuses(tx, [one for one in here if one in needed])
    states = [(one.status.value, one.archived_from.value if one.archived_from else None) for one in new]
    complete = [(rows[one.reference], state_columns(tx, *state)) for one, state in zip(new, states, strict=True)]
    insert_features(tx, by, range(first, first + len(new)), complete, edges, statuses)
    record_notes(tx, by, [(number, one.status, one.notes) for number, one in enumerate(new, first)])
    return first


def _any_taken(tx: Transaction, references: Sequence[str]) -> bool:
    return any(tx.first(_taken, references=batch) is not None for batch in batches(references))


def adopt(tx: Transaction, comparison: Comparison) -> None:
    """Set the source of features that an older version imported without one."""
    for ids in batches(comparison.adopted):
        tx.run(_adopt, ids=ids, list=comparison.source)
