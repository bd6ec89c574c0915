"""The page Add: one feature, or a pasted list, which is shown before it is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dibs.board.page import Asked, Page
from dibs.queries.event_list import EventFilter, list_events
from dibs.transfer.formats import json_file
from dibs.transfer.formats.backlog import Backlog, SourceFile
from dibs.transfer.importer import Import
from dibs.transfer.sources import source_of
from dibs_schema.status import Kind

if TYPE_CHECKING:
    from dibs.board.project import Project
    from dibs.database.transaction import Transaction

SHOWN, LATELY = 50, 10
"""The features of a preview, and those that were added last."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What the import of a list would do: features that exist already stay as they are, though `differing` may differ."""

    backlog: Backlog
    added: int
    present: int
    differing: int


def read_list(text: str) -> Import:
    """Read a pasted list: JSON or JSON Lines, as `dibs import -` reads it. Raises InvalidInput."""
    pasted = Path("-")
    backlog = json_file.read(SourceFile(pasted, text.encode("utf-8", "surrogatepass")))
    return Import(backlog, backlog.source or source_of(pasted))


def _read(tx: Transaction, __: Project, asked: Asked) -> dict[str, Any]:
    preview, text = None, asked.given.get("list")
    if text is not None:
        pasted = read_list(text)
        found = pasted.compare(tx)
        differing = {one.feature for one in found.differences}
        preview = Preview(pasted.backlog, len(found.new), len(found.numbers), len(differing))
    added, _ = list_events(tx, LATELY, EventFilter((Kind.CREATE,)))
    return {"preview": preview, "list": text, "most": SHOWN, "added": added}


PAGE = Page("/add", "Add", "add.html", ("added",), _read, shown=("preview",))
