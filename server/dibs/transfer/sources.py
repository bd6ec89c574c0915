"""Sources: the lists that features were imported from. A reference identifies a feature within its source."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import bindparam, select

from dibs.database.transaction import Row, Transaction
from dibs.root_folder import find_root
from dibs.rules.conditions import F, in_project
from dibs.transfer.formats.backlog import REFERENCE_LENGTH, ImportedFeature
from dibs.transfer.formats.references import TEXT_KEY
from dibs.verbs.staged_import import IMPORTER
from dibs_schema.folding import fold
from dibs_schema.refusals import InvalidInput
from dibs_schema.sanitize import clean
from dibs_schema.status import Status
from dibs_schema.tables import projects

STANDARD_INPUT = "standard input"
SHOWN_NAME = 40

_created_at = select(projects.c.created_at).where(projects.c.id == bindparam("project"))
_all = (
    select(F.id, F.reference, F.source, F.created_by, F.name, F.name_digest, F.status)
    .where(in_project())
    .order_by(F.id)
)


def backlog_id(tx: Transaction) -> str:
    """Return a string that identifies the project in exports; copies and restored backups of it have the same."""
    created_at = struct.pack("!d", tx.value(_created_at))
    return hashlib.blake2b(created_at, digest_size=6).hexdigest()


def source_of(path: Path) -> str:
    """Return the default source name for a file that declares none: its path in the repository, else its file name."""
    if str(path) == "-":
        return STANDARD_INPUT
    file = path.resolve()
    try:
        root = find_root(file.parent)
    except InvalidInput:
        root = file.parent
    inside = file.relative_to(root) if file.is_relative_to(root) else Path(file.name)
    return clean(inside.as_posix())[-REFERENCE_LENGTH:] or STANDARD_INPUT


def stored_reference(source: str, reference: str, taken: Mapping[str, object]) -> str:
    """Return the reference to store: the file's own, or with the source as a prefix if another list uses it already.

    Raises InvalidInput if both are taken.
    """
    scoped = f"{source[: max(0, REFERENCE_LENGTH - len(reference) - 1)]}:{reference}"
    for one in (reference, scoped):
        if one not in taken and len(one) <= REFERENCE_LENGTH:
            return one
    raise InvalidInput(f"The reference {scoped!r} is taken by another feature. Give it another id.", field="file")


def own_reference(reference: str, source: str | None) -> str:
    """Return a stored reference without its source: the one within the source."""
    return reference.removeprefix(f"{source}:") if source else reference


@dataclass(frozen=True, slots=True)
class Sources:
    """The features of a project by their sources, and within a source by their own references.

    `stored` has all features by their stored references, `ids` all ids, and `claimed` the ids of claimed features. The
    source None has the features imported by versions without sources. Such a feature is also found by its category and
    name, since those versions made references from places in the file.
    """

    lists: Mapping[str | None, Mapping[str, Row]]
    stored: Mapping[str, int]
    ids: frozenset[int]
    claimed: Sequence[int]

    @classmethod
    def read(cls, tx: Transaction) -> Self:
        """Read the features of the project, without their long texts."""
        lists: dict[str | None, dict[str, Row]] = {}
        same: Counter[str] = Counter()
        rows = tx.all(_all)
        for row in rows:
            source, reference = row["source"], row["reference"]
            if reference is None or (source is None and row["created_by"] != IMPORTER):
                continue
            own = lists.setdefault(source, {})
            own[own_reference(reference, source)] = row
            if source is None:
                key = TEXT_KEY + (row["name_digest"] or "")[:12]
                same[key] += 1
                own.setdefault(key if same[key] == 1 else f"{key}-{same[key]}", row)
        claimed = [row["id"] for row in rows if row["status"] == Status.IN_PROGRESS]
        stored = {row["reference"]: row["id"] for row in rows if row["reference"] is not None}
        return cls(lists, stored, frozenset(row["id"] for row in rows), claimed)

    def numbers_of(self, features: Iterable[ImportedFeature], source: str) -> dict[str, int]:
        """Return the features that this project has exported, whose references are their numbers.

        People may have added others to the export, which have been imported from it as their `source`.
        """
        added = self.lists.get(source, {})
        found: dict[str, int] = {}
        for reference in (one.reference for one in features):
            if reference.isdecimal() and int(reference) in self.ids:
                found[reference] = int(reference)
            elif reference in added:
                found[reference] = added[reference]["id"]
        return found

    def list_of(self, features: Sequence[ImportedFeature], source: str, *, declared: bool) -> str | None:
        """Return the source whose features the file describes: `source`, or another one with the same ids and names.

        This finds a list again after its file was moved, and also features that a version without sources imported. If
        the file has `declared` its source, no other named source is considered. Raises InvalidInput if most names of
        equal ids differ.
        """
        names = {one.reference: fold(one.name) for one in features}
        if source in self.lists:
            self._refuse_another_list(names, source, source)
            return source
        for other, rows in self.lists.items():
            common = names.keys() & rows.keys()
            agreeing = sum(fold(rows[one]["name"]) == names[one] for one in common)
            most_of_list = 2 * agreeing >= min(len(names), len({row["id"] for row in rows.values()}))
            if (other is None or not declared) and 2 * agreeing > len(common) and most_of_list:
                return other
        if not declared:
            self._refuse_another_list(names, None, source)
        return source

    def _refuse_another_list(self, names: Mapping[str, str], source: str | None, given: str) -> None:
        rows = self.lists.get(source, {})
        common = [one for one in names if one in rows]
        differing = [one for one in common if fold(rows[one]["name"]) != names[one]]
        if 2 * len(differing) <= len(common):
            return
        example = rows[differing[0]]["name"]
        raise InvalidInput(
            f"{len(differing)} of {len(common)} ids of the file belong to features with other names here: "
            f"{differing[0]!r} is {clean(example)[:SHOWN_NAME]!r}. If this is another list, import it with --source NAME; "
            f"if its names were edited, with --source {source or given!r}. Nothing was imported.",
            field="source",
        )

    def gone(self, source: str, references: Collection[str]) -> list[str]:
        """Return the references of a source that the file lacks; archived features do not count."""
        rows = self.lists.get(source, {})
        return [one for one, row in rows.items() if one not in references and row["status"] != Status.ARCHIVED]
