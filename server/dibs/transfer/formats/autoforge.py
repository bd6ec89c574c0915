"""The AutoForge format: a `features.db` with one SQLite table. Reading writes nothing to the file or next to it.

Source of the layout: the `features` table of AutoForgeAI/autoforge, `api/database.py` (2025). Older files lack
`in_progress`, `dependencies` and the columns about people. AutoForge deletes a feature without clearing the
dependencies on it, so those are left out and reported.
"""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Final

from dibs.transfer.formats import feature_list
from dibs.transfer.formats.backlog import MAX_BYTES, Backlog, Report, SourceFile
from dibs.transfer.formats.fields import RawFeature, shown
from dibs_schema.refusals import InvalidInput

HEADER: Final = b"SQLite format 3\0"
JSON_COLUMNS: Final = ("steps", "dependencies", "human_input_request", "human_input_response")
COLUMNS: Final = (
    *("id", "priority", "category", "name", "description", "passes", "in_progress", "needs_human_input"),
    *JSON_COLUMNS,
)
PATIENCE: Final = 5.0
"""Seconds to wait for a process that has locked the database."""

_WAL_FORMAT: Final = b"\x02\x02"
_FORMAT_AT: Final = slice(18, 20)
_BUSY: Final = (5, 6)
"""SQLITE_BUSY and SQLITE_LOCKED."""
_NEEDS_WRITING: Final = (8, 14)
"""SQLITE_READONLY and SQLITE_CANTOPEN: SQLite would have to create files next to the database to read it."""


def recognizes(file: SourceFile) -> bool:
    """Check for the header of a SQLite database."""
    return file.content.startswith(HEADER)


def read(file: SourceFile) -> Backlog:
    """Return the rows of the `features` table in the order of their ids. Raises InvalidInput."""
    if file.driver is None:
        raise InvalidInput("it is a SQLite database, and only JSON is read here.")
    if str(file.path) == "-":
        raise InvalidInput("it is a SQLite database, which needs a file; name that.")
    report = Report()
    path = file.path.resolve()
    rows = _in_place(path, file.driver, report, is_wal=file.content[_FORMAT_AT] == _WAL_FORMAT)
    if rows is None:
        rows = _from_copy(path, file.driver, report)
    found = [RawFeature(f"features[id {shown(str(row['id']))}]", row) for row in rows]
    return feature_list.read("AutoForge database", found, report, replace(file.options, drop_unknown=True))


def _in_place(path: Path, driver: ModuleType, report: Report, *, is_wal: bool) -> list[dict[str, Any]] | None:
    """Read the file in its place, or return None if SQLite would have to create files next to it.

    Even when opened read-only, SQLite leaves `-wal` and `-shm` files next to a database in WAL mode. Without a log
    the database file is complete, and is opened as immutable. With a log and its index it is opened as usual. A log
    without an index is in use by no process, so a copy is safe.
    """
    log, index = _with_suffix(path, "-wal"), _with_suffix(path, "-shm")
    mode = "mode=ro"
    if is_wal and not (log.exists() and index.exists()):
        if _size(log) > 0:
            return None
        mode = "mode=ro&immutable=1"
    try:
        return _query(f"{path.as_uri()}?{mode}", driver, report)
    except driver.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _NEEDS_WRITING:
            return None
        if code in _BUSY:
            raise InvalidInput("another process has locked it; import again when that process has finished.") from error
        raise _damaged(error) from error


def _from_copy(path: Path, driver: ModuleType, report: Report) -> list[dict[str, Any]]:
    """Read a copy of the file and its log or journal, in which SQLite may recover after a crash."""
    parts = {end: _with_suffix(path, end) for end in ("", "-wal", "-journal")}
    if sum(_size(part) for part in parts.values()) > MAX_BYTES:
        raise InvalidInput(f"with its log it is larger than {MAX_BYTES // 1_000_000} MB.")
    with TemporaryDirectory(prefix="dibs-import-") as folder:
        copy = Path(folder, "features.db")
        for end, part in parts.items():
            if part.exists():
                shutil.copyfile(part, _with_suffix(copy, end))
        try:
            return _query(f"{copy.as_uri()}?mode=rw", driver, report)
        except driver.DatabaseError as error:
            raise _damaged(error) from error


def _with_suffix(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _damaged(error: Exception) -> InvalidInput:
    name = getattr(error, "sqlite_errorname", None) or "no details"
    return InvalidInput(f"it is a SQLite database that cannot be read ({name}); it may be damaged.")


def _query(uri: str, driver: ModuleType, report: Report) -> list[dict[str, Any]]:
    with closing(driver.connect(uri, uri=True, timeout=PATIENCE)) as connection:
        connection.text_factory = _decoded
        connection.execute("PRAGMA trusted_schema = OFF")
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'features'").fetchone():
            raise InvalidInput("it is a SQLite database without a table `features`.")
        present = [row[1] for row in connection.execute("PRAGMA table_info(features)")]
        if {"project_id", "unmet_dependencies"} & {*present}:
            raise InvalidInput("it is a Dibs database; name it with --db instead of importing it.")
        if "id" not in present or not {"name", "description"} & {*present}:
            raise InvalidInput(
                "its table `features` has no id, or neither name nor description: it is not AutoForge's."
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


def _from_json(value: Any) -> Any:
    """Return the value of a JSON column; text that is not JSON stays a string."""
    try:
        return json.loads(value, parse_float=str) if isinstance(value, str) else _plain(value)
    except (ValueError, RecursionError):
        return value


def _plain(value: Any) -> Any:
    """Return a column's value; floats and blobs, which SQLite allows in any column, become strings."""
    if isinstance(value, bytes):
        return _decoded(value)
    return str(value) if isinstance(value, float) else value


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", "replace")
