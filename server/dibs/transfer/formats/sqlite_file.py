"""SQLite files of other tools. Reading writes nothing to the file or next to it."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Final, Protocol

from dibs.transfer.formats import autoforge, hermes
from dibs.transfer.formats.backlog import MAX_BYTES, Backlog, Report, SourceFile
from dibs_schema.refusals import InvalidInput

HEADER: Final = b"SQLite format 3\0"
PATIENCE: Final = 5.0
"""Seconds to wait for a process that has locked the database."""

_WAL_FORMAT: Final = b"\x02\x02"
_FORMAT_AT: Final = slice(18, 20)
_BUSY: Final = (5, 6)
"""SQLITE_BUSY and SQLITE_LOCKED."""
_NEEDS_WRITING: Final = (8, 14)
"""SQLITE_READONLY and SQLITE_CANTOPEN: SQLite would have to create files next to the database to read it."""


class Tool(Protocol):
    """The interface of a module for a tool whose file is a SQLite database."""

    TABLES: frozenset[str]

    def rows(self, connection: Any, report: Report) -> Any:
        """Return what the database holds. Raises InvalidInput."""

    def backlog(self, found: Any, report: Report, file: SourceFile) -> Backlog:
        """Return the backlog in the rows that `rows` returned. Raises InvalidInput."""


Found = tuple[Tool, Any]
TOOLS: Final[tuple[Tool, ...]] = (autoforge, hermes)
"""The first whose tables are there reads a database."""


def recognizes(file: SourceFile) -> bool:
    """Check for the header of a SQLite database."""
    return file.content.startswith(HEADER)


def read(file: SourceFile) -> Backlog:
    """Return the backlog of the tool whose tables the database has. Raises InvalidInput."""
    if file.driver is None:
        raise InvalidInput("it is a SQLite database, and only text is read here.")
    if str(file.path) == "-":
        raise InvalidInput("it is a SQLite database, which needs a file; name that.")
    report = Report()
    path = file.path.resolve()
    found = _in_place(path, file.driver, report, is_wal=file.content[_FORMAT_AT] == _WAL_FORMAT)
    tool, rows = _from_copy(path, file.driver, report) if found is None else found
    return tool.backlog(rows, report, file)


def _in_place(path: Path, driver: ModuleType, report: Report, *, is_wal: bool) -> Found | None:
    """Read the file in place, or return None if SQLite would have to create files next to it.

    Even when opened read-only, SQLite leaves `-wal` and `-shm` files next to a database in WAL mode. Without a log the
    database file is complete, and is opened as immutable. With a log and its index it is opened as usual. No process
    uses a log without an index, so a copy is safe.
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


def _from_copy(path: Path, driver: ModuleType, report: Report) -> Found:
    """Read a copy of the file and its log or journal, in which SQLite may recover after a crash."""
    parts = {end: _with_suffix(path, end) for end in ("", "-wal", "-journal")}
    if sum(_size(part) for part in parts.values()) > MAX_BYTES:
        raise InvalidInput(f"together with its WAL or journal file it is larger than {MAX_BYTES // 1_000_000} MB.")
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


def _query(uri: str, driver: ModuleType, report: Report) -> Found:
    with closing(driver.connect(uri, uri=True, timeout=PATIENCE)) as connection:
        connection.text_factory = _decoded
        connection.execute("PRAGMA trusted_schema = OFF")
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        tool = next((one for one in TOOLS if names >= one.TABLES), None)
        if tool is None:
            raise InvalidInput(
                "it is a SQLite database without a table `features`, which AutoForge has, and without `tasks` and "
                "`task_links`, which hermes-agent has."
            )
        return tool, tool.rows(connection, report)


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", "replace")
