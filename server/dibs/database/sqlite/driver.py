"""The one SQLite library of this process, and the versions of SQLite that can lose commits."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

NAME = "SQLite"


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Check for the bug by which a checkpoint that races a writer can lose committed pages.

    Source: https://www.sqlite.org/wal.html#walresetbug (3.7.0 to 3.51.2, except 3.44.6 and 3.50.7).
    """
    return (3, 7, 0) <= version < (3, 51, 3) and version not in {(3, 44, 6), (3, 50, 7)}


def driver() -> ModuleType:
    """Return the SQLite module of this process: pysqlite3 if it is installed and has no WAL-reset bug, else sqlite3.

    Two copies of SQLite in one process drop each other's locks. So every caller uses this function, and sqlite3 is
    not loaded even to read its version.
    Source: https://www.sqlite.org/howtocorrupt.html, 2.2 and 2.2.1.
    """
    if importlib.util.find_spec("pysqlite3") is not None:
        bundled = importlib.import_module("pysqlite3.dbapi2")
        if not has_wal_reset_bug(bundled.sqlite_version_info):
            return bundled
    return importlib.import_module("sqlite3")
