"""Export in place: writes the states of features into the file they were imported from; all other bytes stay."""

from __future__ import annotations

import codecs
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from sqlalchemy import bindparam, select

from dibs.database.transaction import Row, Transaction
from dibs.regular_file import refuse_irregular
from dibs.rules.conditions import F, among, in_project
from dibs.transfer import atomic_file
from dibs.transfer.comparison import batches
from dibs.transfer.formats import FORMATS, Format, checklist_files, checklist_states, json_file, json_states
from dibs.transfer.formats.backlog import Backlog, ImportedFeature, ReadOptions, SourceFile
from dibs.transfer.formats.state_edits import State
from dibs.transfer.sources import Sources
from dibs.verbs.staged_import import IMPORTER
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Kind, Status
from dibs_schema.tables import events

Edit = Callable[[SourceFile, Sequence[ImportedFeature], Sequence[State | None]], tuple[str, int]]
"""Returns the text of a file with the states of its features, and how many have changed; None leaves one as it is."""
EDITS: Final[Mapping[Format, Edit]] = {json_file: json_states.edit, checklist_files: checklist_states.edit}
"""The formats whose files can be edited, and how."""

_E = events.c
_states = select(F.id, F.status, F.archived_from).where(in_project(), F.id.in_(bindparam("ids", expanding=True)))
_notes_of = (
    select(_E.feature_id, _E.detail)
    .where(
        in_project(events),
        _E.feature_id.in_(bindparam("ids", expanding=True)),
        among(_E.kind, [Kind.NOTE]),
        _E.agent != IMPORTER,
    )
    .order_by(_E.feature_id, _E.id)
)


@dataclass(frozen=True, slots=True)
class EditedInPlace:
    """Counts of a file's features: in the backlog, changed in the file, and without a field there for their state."""

    known: int
    changed: int
    unsaid: int
    content: bytes


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """A file that was imported, and its present contents as its reader returns them."""

    source: SourceFile
    form: Format
    backlog: Backlog

    @classmethod
    def open(cls, path: Path, options: ReadOptions | None = None) -> Self:
        """Read a file. Raises InvalidInput, which names it, if it is not a regular file or has no format that is edited."""
        refuse_irregular(path, "in_place", follow=False)
        with _named(path):
            source = SourceFile.open(path, None, options)
            form = _edited_format(source)
            return cls(source, form, form.read(source))

    def with_states(self, states: Sequence[State | None]) -> EditedInPlace:
        """Return the file with the states. Raises InvalidInput if it cannot be edited in place."""
        with _named(self.source.path):
            text, changed = EDITS[self.form](self.source, self.backlog.features, states)
            content = _encoded(text, self.source.content)
            now = self.form.read(replace(self.source, content=content)).features
        pairs = [(one, state) for one, state in zip(now, states, strict=True) if state is not None]
        unsaid = sum(State(one.status, one.archived_from).passes != state.passes for one, state in pairs)
        return EditedInPlace(len(pairs), changed, unsaid, content)

    def write(self, edited: EditedInPlace) -> None:
        """Replace the file. Raises Busy if another program has changed it since it was read, ReadOnly, DiskFull."""
        target, before = self.source.path, self.source.content
        if edited.content == before:
            return
        with atomic_file.errors_named(target), atomic_file.partial_folder(target.absolute().parent) as folder:
            made = folder / "edited"
            made.write_bytes(edited.content)
            atomic_file.replace_unchanged(made, target.absolute(), lambda old: old.read_bytes() == before)


def _edited_format(source: SourceFile) -> Format:
    form = next(one for one in FORMATS if one.recognizes(source))
    if form not in EDITS:
        raise InvalidInput("files of this kind are only read.")
    return form


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in refusals of its contents."""
    try:
        yield
    except InvalidInput as refusal:
        raise InvalidInput(f"{path}: {refusal.message} Nothing was changed.", **refusal.details) from refusal


def _encoded(text: str, like: bytes) -> bytes:
    """Return the text in the encoding of the bytes that it was read from, with their byte order mark."""
    for mark, name in (
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF8, "utf-8"),
    ):
        if like.startswith(mark):
            return mark + text.encode(name)
    return text.encode()


def states_of(tx: Transaction, backlog: Backlog, source: str, *, named: bool) -> list[State | None]:
    """Return the states of a file's features, None for those that are not in the project.

    `source` is what their references belong to; unless the user has `named` it, the features may belong to another
    list.
    """
    features = backlog.features
    sources = Sources.read(tx)
    known_as = source if named else sources.list_of(features, source, declared=backlog.source is not None)
    rows = sources.lists.get(known_as, {})
    numbers = {one.reference: rows[one.reference]["id"] for one in features if one.reference in rows}
    found: dict[int, State] = {}
    for ids in batches(numbers.values()):
        notes = defaultdict[int, list[str]](list)
        for event in tx.all(_notes_of, ids=ids):
            notes[event["feature_id"]].append(event["detail"]["note"])
        found |= {row["id"]: _state(row, notes[row["id"]]) for row in tx.all(_states, ids=ids)}
    return [found[numbers[one.reference]] if one.reference in numbers else None for one in features]


def _state(row: Row, notes: Sequence[str]) -> State:
    status = Status(row["status"])
    archived_from = Status(row["archived_from"]) if row["archived_from"] else None
    return State(Status.PENDING if status is Status.IN_PROGRESS else status, archived_from, notes)
