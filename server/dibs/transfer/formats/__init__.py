"""Reads the backlogs of other tools. Each format is one module, and a file's content selects the format.

To add a format, write a module with the two functions of `Format` and list it in `FORMATS`. `read` makes an `Entry` for
each feature in the file, reports what it maps, keeps as text or leaves out, and returns the backlog that `assemble`
makes of the entries.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Final, Protocol

from dibs.transfer.formats import (
    backlog_md,
    checklist_files,
    claude_tasks,
    issue_csv,
    json_file,
    own_export,
    sqlite_file,
)
from dibs.transfer.formats.backlog import Backlog, ImportedFeature, ReadOptions, SourceFile
from dibs.transfer.formats.folder import Folder, is_folder
from dibs.transfer.formats.places import places_in
from dibs_schema.refusals import InvalidInput
from dibs_schema.sanitize import clean

__all__ = ["FORMATS", "Backlog", "Format", "ImportedFeature", "ReadOptions", "read_backlog"]


class Format(Protocol):
    """The interface of a format module whose source is a file."""

    def recognizes(self, file: SourceFile) -> bool:
        """Check, by its content, whether the file has this format."""

    def read(self, file: SourceFile) -> Backlog:
        """Return the file's backlog. Raises InvalidInput, without the file's name."""


class FolderFormat(Protocol):
    """The interface of a format module whose source is a folder."""

    def recognizes(self, folder: Folder) -> bool:
        """Check, by the names in it, whether the folder has this format."""

    def read(self, folder: Folder) -> Backlog:
        """Return the folder's backlog. Raises InvalidInput, without the folder's name."""


FORMATS: Final[tuple[Format, ...]] = (sqlite_file, own_export, checklist_files, issue_csv, json_file)
"""The formats of files. The first that recognizes a file reads it; the last one recognizes every file."""

FOLDERS: Final[tuple[FolderFormat, ...]] = (backlog_md, claude_tasks)
"""The formats of folders."""


def read_backlog(path: Path, driver: ModuleType | None = None, options: ReadOptions | None = None) -> Backlog:
    """Read the whole file, and leave it unchanged.

    `driver` is the SQLite module of this process; without one, databases are refused. `path` must not be a database that
    this process has open: to close it after the read would release the process's locks.
    Raises InvalidInput, which names the file and the correction; `field` is the path inside the file.
    """
    try:
        if is_folder(path):
            return _read_folder(Folder(path, options or ReadOptions()))
        file = SourceFile.open(path, driver, options)
        return next(one for one in FORMATS if one.recognizes(file)).read(file)
    except InvalidInput as refusal:
        name = "standard input" if str(path) == "-" else clean(str(path))
        message = f"{name}: {refusal.message} Nothing was imported."
        raise InvalidInput(message, **refusal.details) from refusal


def _read_folder(folder: Folder) -> Backlog:
    one = next((one for one in FOLDERS if one.recognizes(folder)), None)
    if one is None:
        there = [clean(path.relative_to(folder.path).as_posix()) for path in places_in(folder.path)]
        raise InvalidInput(
            "it is a folder, and neither one of Backlog.md nor one of Claude Code Tasks; "
            + (f"name one of the backlogs in it: {', '.join(there[:5])}." if there else "name a file.")
        )
    return one.read(folder)
