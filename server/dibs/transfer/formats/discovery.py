"""Finds the backlogs of other tools in a repository, in the places where these tools keep them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from dibs.transfer.formats import ReadOptions, read_backlog
from dibs.transfer.formats.places import places_in
from dibs_schema.refusals import InvalidInput


@dataclass(frozen=True, slots=True)
class FoundBacklog:
    """A file or folder with a backlog: its path, its format, how many features it has, and why it cannot be imported."""

    path: Path
    format: str = ""
    features: int = 0
    refusal: str | None = None


def find_backlogs(root: Path, driver: ModuleType, options: ReadOptions) -> Iterator[FoundBacklog]:
    """Read each backlog in a folder, and yield a summary of it."""
    for path in places_in(root):
        try:
            found = read_backlog(path, driver, options)
        except InvalidInput as refusal:
            yield FoundBacklog(path, refusal=refusal.message)
        else:
            yield FoundBacklog(path, found.format, len(found.features))
