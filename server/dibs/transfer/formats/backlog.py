"""What an import is made of: plain data that names neither a database nor the file it came from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status

REFERENCE_LENGTH: Final = 255
CATEGORY_LENGTH: Final = 100
NAME_LENGTH: Final = 255
DESCRIPTION_LENGTH: Final = 20_000
STEP_LENGTH: Final = 2_000
STEP_COUNT: Final = 100
PRIORITY_LIMIT: Final = 1_000_000_000
LINES: Final = 100
"""As many lines does a report of what was mapped or ignored have, and one that counts the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedFeature:
    """One feature as the file has it, within the limits of a Dibs feature.

    `reference` is its own id in the file, and `dependencies` are references of the same file. `path` is
    where it stands (`features[3]`), for a refusal that comes later. `archived_from` is set when it is
    archived. `human_request` stands with `needs_human`, and beside a `human_answer` that its next worker
    has yet to read.
    """

    path: str
    reference: str
    category: str
    name: str
    description: str
    steps: list[str]
    priority: int
    status: Status
    dependencies: list[str]
    paths: list[str] = field(default_factory=list)
    archived_from: Status | None = None
    evidence: str | None = None
    last_failure: str | None = None
    human_request: dict[str, Any] | None = None
    human_answer: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Everything that a file holds: its features in the file's order, and how they were understood.

    `source` says what kind of file it was. `mapped` tells which fields and words became what, and
    `ignored` which had no place, each line with its count.
    """

    source: str
    features: list[ImportedFeature]
    mapped: list[str]
    ignored: list[str]


class Report:
    """Counts what was mapped and what was ignored while a file is read."""

    def __init__(self) -> None:
        self._mapped: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()

    def mapped(self, source: str, target: str) -> None:
        """Count that `source` became `target`; a field that keeps its name is told by the name alone."""
        self._mapped[source if source == target else f"{source} -> {target}"] += 1

    def ignored(self, what: str) -> None:
        """Count a field that has no place, or a value that could not be mapped."""
        self._ignored[what] += 1

    def backlog(self, source: str, features: list[ImportedFeature]) -> Backlog:
        """The finished import."""
        return Backlog(source, features, _lines(self._mapped), _lines(self._ignored))


def _lines(counted: Counter[str]) -> list[str]:
    lines = [f"{what} ({count})" for what, count in counted.items()]
    rest = len(lines) - LINES
    return [*lines[:LINES], f"and {rest} more"] if rest > 0 else lines


def within(text: str, limit: int, path: str) -> str:
    """Return `text` if it has at most `limit` characters; nothing is cut silently."""
    if len(text) > limit:
        message = f"{path} has {len(text):,} characters and may have {limit:,}; shorten it in the file."
        raise InvalidInput(message, field=path)
    return text
