"""One self-contained page of the present state, to share or to keep: no script, no links, and nothing to load."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from starlette.datastructures import QueryParams

from dibs.board.columns import HEADINGS, Column
from dibs.board.now import read_now
from dibs.board.page import Asked, Page, render
from dibs.queries.board_columns import Filter, first_of_each
from dibs.transfer.atomic_file import errors_named, partial_folder, put_in_place

if TYPE_CHECKING:
    from dibs.board.project import Project
    from dibs.database.transaction import Transaction

SHOWN = 500
"""The features of each column."""


def write_static(project: Project, file: Path) -> None:
    """Write the page of a project to a file, which appears whole or not at all. Raises DiskFull, ReadOnly and OSError."""
    view, variables = project.read_once(PAGE, Asked({}, QueryParams()))
    style = (files("dibs.board") / "static" / "board.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    # The style is the board's own file: escaped, it would no longer be that.
    document = render(PAGE, view, {**variables, "style": Markup(style), "digest": digest})  # noqa: S704
    with errors_named(file), partial_folder(file.parent) as folder:
        made = folder / file.name
        made.write_text(document, encoding="utf-8")
        put_in_place(made, file, replace=True)


def _read(tx: Transaction, project: Project, asked: Asked) -> dict[str, Any]:
    listed = first_of_each(tx, Filter(), SHOWN)
    columns = [Column(name, HEADINGS[name], one.total, one.features, None) for name, one in listed.items()]
    return {**read_now(tx, project, asked), "columns": columns}


PAGE = Page("/", "Now", "static.html", (), _read)
