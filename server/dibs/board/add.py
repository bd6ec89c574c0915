"""The page Add: one feature, or a pasted list, which is shown before it is imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dibs.board.page import Asked, Page
from dibs.queries.event_list import EventFilter, list_events
from dibs.transfer.formats import json_file
from dibs.transfer.formats.backlog import Backlog, SourceFile
from dibs.transfer.importer import present
from dibs_schema.status import Kind

if TYPE_CHECKING:
    from dibs.board.project import Project
    from dibs.database.transaction import Transaction

SHOWN, LATELY = 50, 10
"""The features of a preview, and those that were added last."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What the import of a list would do: features that exist already stay as they are."""

    backlog: Backlog
    present: int
    statuses: Mapping[str, int]

    @property
    def added(self) -> int:
        """How many features it would add."""
        return len(self.backlog.features) - self.present


def read_list(text: str) -> Backlog:
    """Read a pasted list: JSON or JSON Lines, as `dibs import` reads it. Raises InvalidInput."""
    return json_file.read(SourceFile(Path("-"), text.encode("utf-8", "surrogatepass")))


def _read(tx: Transaction, __: Project, asked: Asked) -> dict[str, Any]:
    preview, text = None, asked.given.get("list")
    if text is not None:
        backlog = read_list(text)
        statuses = Counter(one.status.value for one in backlog.features)
        preview = Preview(backlog, len(present(tx, backlog.features)), statuses)
    added, _ = list_events(tx, LATELY, EventFilter((Kind.CREATE,)))
    return {"preview": preview, "list": text, "most": SHOWN, "added": added}


PAGE = Page("/add", "Add", "add.html", ("added",), _read, shown=("preview",))
