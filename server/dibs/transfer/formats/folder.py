"""Folders of other tools, in which each task is a separate file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from dibs.transfer.formats.backlog import MAX_BYTES, ReadOptions, SourceFile
from dibs_schema.refusals import InvalidInput
from dibs_schema.sanitize import clean

T = TypeVar("T")
MOST_FILES: Final = 20_000


def is_folder(path: Path) -> bool:
    """Return whether there is a folder at the path; False if that cannot be found out."""
    try:
        return path.is_dir()
    except OSError:
        return False


@dataclass(slots=True)
class Folder:
    """A folder to import, whose files are read one after the other, and at most `MAX_BYTES` of them in total."""

    path: Path
    options: ReadOptions = field(default_factory=ReadOptions)
    _read: int = 0

    def names(self, pattern: str) -> list[str]:
        """Return the files that match a pattern, relative to the folder and sorted; symbolic links are left out."""
        found = []
        for one in self.path.glob(pattern):
            if one.is_file() and not one.is_symlink():
                found.append(one.relative_to(self.path).as_posix())
            if len(found) > MOST_FILES:
                raise InvalidInput(f"it has more than {MOST_FILES:,} files {pattern}.")
        return sorted(found)

    def read(self, name: str, parse: Callable[[str], T]) -> T:
        """Return what `parse` makes of the text of one of the files. Raises InvalidInput, which names the file."""
        try:
            file = SourceFile.open(self.path / name, None)
            self._count(len(file.content))
            return parse(file.text())
        except InvalidInput as refusal:
            raise InvalidInput(f"in {clean(name)}, {refusal.message}", **refusal.details) from refusal

    def _count(self, size: int) -> None:
        self._read += size
        if self._read > MAX_BYTES:
            raise InvalidInput(f"with it the folder has more than {MAX_BYTES // 1_000_000} MB.")
