"""Backlogs that a project already has: feature lists in JSON, and AutoForge's databases, as plain data."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from dibs.transfer.formats import autoforge, document, feature_list, locate
from dibs.transfer.formats.backlog import Backlog, ImportedFeature, Report
from dibs_schema.refusals import InvalidInput
from dibs_schema.sanitize import clean

__all__ = ["Backlog", "ImportedFeature", "read_backlog"]


def read_backlog(path: Path, driver: ModuleType | None = None) -> Backlog:
    """Return what the file holds, all of it or nothing; the file itself is left as it is.

    What it is, is told from its content: JSON with a list of features, JSON Lines, or an AutoForge database.
    `driver` is the SQLite module that this process uses; without one, databases are refused. `path` must
    not be a database that this process has open: reading its first bytes would drop the process's locks.

    Raises InvalidInput, which names the file and says what to do; `field` is the path inside the file.
    """
    try:
        return _read(path, driver)
    except InvalidInput as refusal:
        told = f"{clean(str(path))}: {refusal.message} Nothing was imported."
        raise InvalidInput(told, **refusal.details) from refusal


def _read(path: Path, driver: ModuleType | None) -> Backlog:
    content = document.read_bytes(path)
    report = Report()
    if not content.startswith(autoforge.HEADER):
        source, found = locate.entries(document.parse(content), report)
        return feature_list.read(source, found, report)
    if driver is None:
        raise InvalidInput("it is a SQLite database, and only JSON is read here.")
    rows = autoforge.entries(path, content, driver, report)
    return feature_list.read(autoforge.SOURCE, rows, report, drop_unknown=True)
