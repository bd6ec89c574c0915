"""The AutoForge format: a `features.db` with one SQLite table.

Source of the layout: the `features` table of AutoForgeAI/autoforge, `api/database.py` (2025). Older files lack
`in_progress`, `dependencies` and the columns about people. AutoForge deletes a feature without clearing the
dependencies on it, so those are left out and reported.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from dibs.transfer.formats import feature_list
from dibs.transfer.formats.backlog import Backlog, Report, SourceFile
from dibs.transfer.formats.fields import RawFeature, shown
from dibs_schema.refusals import InvalidInput

TABLES: Final = frozenset(["features"])
JSON_COLUMNS: Final = ("steps", "dependencies", "human_input_request", "human_input_response")
COLUMNS: Final = (
    *("id", "priority", "category", "name", "description", "passes", "in_progress", "needs_human_input"),
    *JSON_COLUMNS,
)


def rows(connection: Any, report: Report) -> list[dict[str, Any]]:
    """Return the rows of the `features` table in the order of their ids. Raises InvalidInput."""
    present = [row[1] for row in connection.execute("PRAGMA table_info(features)")]
    if {"project_id", "unmet_dependencies"} & {*present}:
        raise InvalidInput("it is a Dibs database; name it with --db instead of importing it.")
    if "id" not in present or not {"name", "description"} & {*present}:
        raise InvalidInput(
            "its table `features` has no id, or neither name nor description: this is not an AutoForge database."
        )
    chosen = [column for column in COLUMNS if column in present]
    found = connection.execute(f"SELECT {', '.join(chosen)} FROM features ORDER BY id").fetchall()  # noqa: S608 - our own names
    for column in present:
        if column not in COLUMNS:
            report.ignored(f"{column} of the table")
    return [
        {
            name: _from_json(value) if name in JSON_COLUMNS else _plain(value)
            for name, value in zip(chosen, row, strict=True)
        }
        for row in found
    ]


def backlog(found: list[dict[str, Any]], report: Report, file: SourceFile) -> Backlog:
    """Return the backlog of the rows. Raises InvalidInput."""
    raw = [RawFeature(f"features[id {shown(str(row['id']))}]", row) for row in found]
    return feature_list.read("AutoForge database", raw, report, replace(file.options, drop_unknown=True))


def _from_json(value: Any) -> Any:
    """Return the value of a JSON column; text that is not JSON stays a string."""
    try:
        return json.loads(value, parse_float=str) if isinstance(value, str) else _plain(value)
    except (ValueError, RecursionError):
        return value


def _plain(value: Any) -> Any:
    """Return a column's value; floats and blobs, which SQLite allows in any column, become strings."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, float) else value
