"""The contents of an export, for a project and for each feature: one table of fields for writing and reading."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from dibs.transfer.formats.fields import shown
from dibs_schema.refusals import InvalidInput

VERSION: Final = 1
MARK: Final = "dibs"
"""The key under which an export says that it is one."""
BEGINNING_LENGTH: Final = 200
_BEGINNING = re.compile(
    rb'(?:\xef\xbb\xbf)?\s*(?:\{\s*(?:"_schema"\s*:\s*"[^"]*"\s*,\s*)?"dibs"\s*:|<!-- dibs )\s*\{\s*"export"\s*:'
)

FIELDS: Final = (
    *("id", "source", "reference", "category", "name", "description", "steps", "dependencies", "paths", "evidence"),
    *("last_failure", "notes", "human_request", "human_answer", "archived_from", "priority", "status", "passes"),
)
"""The fields of an exported feature, in their order. Fields without a value are left out; the last ones always have one."""

ExportedFeature = Mapping[str, Any]
"""A feature by FIELDS. Its `id` and its `dependencies` are the numbers of features in the exported project.

`source` and `reference` tell where it was imported from before; nothing reads them. `created_at` and `passed_at`, in seconds
since 1970, are for formats that must have times.
"""


@dataclass(frozen=True, slots=True)
class Header:
    """Which project was exported: `backlog` identifies it, also after it was copied, `project` is its name."""

    backlog: str
    project: str

    @property
    def mark(self) -> dict[str, Any]:
        """The value of MARK."""
        return {"export": VERSION, "backlog": self.backlog}

    @property
    def source(self) -> str:
        """The source that the features have in every other project."""
        return f"dibs {self.backlog}"

    @classmethod
    def read(cls, mark: Any) -> Self:
        """Return the header of an export. Raises InvalidInput if a newer version has written it."""
        version, backlog = (mark.get("export"), mark.get("backlog")) if isinstance(mark, dict) else (None, None)
        if version != VERSION or not isinstance(backlog, str) or not 1 <= len(backlog) <= 100:
            raise InvalidInput(f"it is an export of version {shown(str(version))}, and this Dibs reads {VERSION}.")
        return cls(backlog, "")


def is_export(content: bytes) -> bool:
    """Check whether a file begins as an export of any format, also after another program has formatted it."""
    return _BEGINNING.match(content[:BEGINNING_LENGTH]) is not None


Write = Callable[[Header, Iterable[ExportedFeature]], Iterator[str]]
"""Yields the parts of a file, so that no part of it has more than one feature."""
