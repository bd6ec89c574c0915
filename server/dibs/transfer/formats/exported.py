"""What an export says of a project and of each feature: one table of fields for writing and reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

VERSION: Final = 1
MARK: Final = "dibs"
"""The key under which an export says that it is one."""

FIELDS: Final = (
    *("id", "reference", "category", "name", "description", "steps", "dependencies", "paths", "evidence"),
    *("last_failure", "notes", "human_request", "human_answer", "archived_from", "priority", "status", "passes"),
)
"""The fields of an exported feature, in their order. Fields without a value are left out; the last ones always have one."""

ExportedFeature = Mapping[str, Any]
"""A feature by FIELDS. Its `id` and its `dependencies` are the numbers of features in the exported project."""


@dataclass(frozen=True, slots=True)
class Header:
    """Which project was exported: `backlog` identifies it, also after it was copied, `project` is its name."""

    backlog: str
    project: str

    @property
    def mark(self) -> dict[str, Any]:
        """The value of MARK."""
        return {"export": VERSION, "backlog": self.backlog}


Write = Callable[[Header, Iterable[ExportedFeature]], Iterator[str]]
"""Yields the parts of a file, so that no part of it has more than one feature."""
