"""The page Now: what needs a person, who works on what, how fast the project goes, and what happened last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dibs.board.page import Asked, Page
from dibs.queries.overview import get_overview

if TYPE_CHECKING:
    from dibs.board.project import Project
    from dibs.database.transaction import Transaction

SHOWN, ROOM = 50, 1 << 20
"""The most entries of each list, and their most bytes."""


def _read(tx: Transaction, project: Project, _: Asked) -> dict[str, Any]:
    return {"overview": get_overview(tx, project.database.label, SHOWN, ROOM)}


PAGE = Page("/", "Now", "now.html", ("needs_you", "agents", "counts"), _read)
