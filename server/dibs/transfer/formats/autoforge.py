"""An AutoForge `features.db`: one SQLite table, read without a byte written to it or beside it.

Source of the layout: the `features` table of AutoForgeAI/autoforge, `api/database.py` (2025). Older files
lack `in_progress`, `dependencies` and the columns about people. AutoForge deletes a feature without clearing
the dependencies on it, so those are left out and reported.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Final

from dibs.transfer.formats.backlog import Report
from dibs.transfer.formats.document import MAX_BYTES
from dibs.transfer.formats.fields import shown
from dibs.transfer.formats.locate import Entry
from dibs_schema.refusals import InvalidInput

HEADER: Final = b"SQLite format 3\0"
SOURCE: Final = "AutoForge database"
COLUMNS: Final = (
    "id",
    "priority",
    "category",
    "name",
    "description",
    "steps",
    "passes",
    "in_progress",
    "dependencies",
    "needs_human_input",
    "human_input_request",
    "human_input_response",
)
JSON_COLUMNS: Final = ("steps", "dependencies", "human_input_request", "human_input_response")
PATIENCE: Final = 5.0
"""Seconds to wait for a process that has the database locked."""
OF_DIBS: Final = ("project_id", "unmet_dependencies")

_WAL_FORMAT: Final = b"\x02\x02"
_FORMAT_AT: Final = slice(18, 20)
_BUSY: Final = (5, 6)
_NEEDS_WRITING: Final = (8, 14)
"""SQLITE_READONLY and SQLITE_CANTOPEN: to read it as it lies, SQLite would have to write beside it."""


def entries(path: Path, content: bytes, driver: ModuleType, report: Report) -> list[Entry]:
    """Return the rows of the `features` table in the order of their ids.

    `content` is the file's beginning, at least its first 20 bytes; `driver` is the SQLite module that this
    process uses (a process must use one only).
    """
    where = path.resolve()
    is_wal = content[_FORMAT_AT] == _WAL_FORMAT
    rows = _in_place(where, driver, report, is_wal=is_wal)
    if rows is None:
        rows = _from_copy(where, driver, report)
    return [Entry(f"features[id {shown(str(row['id']))}]", row) for row in rows]


def _in_place(path: Path, driver: ModuleType, report: Report, *, is_wal: bool) -> list[dict[str, Any]] | None:
    """Read the file where it lies, or return None if SQLite would have to write beside it.

    Opened read-only, SQLite would leave `-wal` and `-shm` beside a database in WAL mode. Without a log such a
    database is complete in itself, and is read as immutable; with a log and its index it is read as its own
    processes do. A log without its index has no process behind it, so that a copy can be taken.
    """
    log, index = _beside(path, "-wal"), _beside(path, "-shm")
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
            raise InvalidInput(
                "another process has it locked; import again when that has finished."
            ) from error
        raise _damaged(error) from error


def _from_copy(path: Path, driver: ModuleType, report: Report) -> list[dict[str, Any]]:
    """Read a copy of the file with its log or journal, in which SQLite may recover what a crash has left."""
    parts = {end: _beside(path, end) for end in ("", "-wal", "-journal")}
    if sum(_size(part) for part in parts.values()) > MAX_BYTES:
        raise InvalidInput(f"with its log it is larger than {MAX_BYTES // 1_000_000} MB.")
    with TemporaryDirectory(prefix="dibs-import-") as folder:
        copy = Path(folder, "features.db")
        for end, part in parts.items():
            if part.exists():
                shutil.copyfile(part, _beside(copy, end))
        try:
            return _query(f"{copy.as_uri()}?mode=rw", driver, report)
        except driver.DatabaseError as error:
            raise _damaged(error) from error


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _damaged(error: Exception) -> InvalidInput:
    name = getattr(error, "sqlite_errorname", None) or "no details"
    return InvalidInput(f"it is a SQLite database that cannot be read ({name}); it may be damaged.")


def _query(uri: str, driver: ModuleType, report: Report) -> list[dict[str, Any]]:
    with closing(driver.connect(uri, uri=True, timeout=PATIENCE)) as connection:
        connection.text_factory = _lenient
        connection.execute("PRAGMA trusted_schema = OFF")
        if not connection.execute(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'features'"
        ).fetchone():
            raise InvalidInput("it is a SQLite database without a table `features`.")
        present = [row[1] for row in connection.execute("PRAGMA table_info(features)")]
        _refuse_strange(present)
        chosen = [column for column in COLUMNS if column in present]
        found = connection.execute(f"SELECT {', '.join(chosen)} FROM features ORDER BY id").fetchall()  # noqa: S608 - our own names
    for column in present:
        if column not in COLUMNS:
            report.ignored(f"{column} of the table")
    return [dict(_values(chosen, row)) for row in found]


def _refuse_strange(present: list[str]) -> None:
    if any(column in present for column in OF_DIBS):
        raise InvalidInput("it is a Dibs database already; name it with --db instead of importing it.")
    if "id" not in present or not {"name", "description"} & {*present}:
        raise InvalidInput(
            "its table `features` has no id, or neither name nor description: it is not AutoForge's."
        )


def _values(columns: list[str], row: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    for column, value in zip(columns, row, strict=True):
        decode: Callable[[Any], Any] = _from_json if column in JSON_COLUMNS else _plain
        yield column, decode(value)


def _from_json(value: Any) -> Any:
    """A JSON column's value; text that is no JSON stays text."""
    try:
        return json.loads(value, parse_float=str) if isinstance(value, str) else _plain(value)
    except (ValueError, RecursionError):
        return value


def _plain(value: Any) -> Any:
    """SQLite keeps any type in any column: fractions and blobs become text, as from JSON."""
    if isinstance(value, bytes):
        return _lenient(value)
    return str(value) if isinstance(value, float) else value


def _lenient(content: bytes) -> str:
    return content.decode("utf-8", "replace")
