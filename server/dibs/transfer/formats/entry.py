"""One entry of a file as a reader returns it, before the checks that all formats share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dibs_schema.status import Status


@dataclass(frozen=True, slots=True)
class Dependency:
    """A dependency as the file names it, and where: an id, a name, or as a number its place in the list from 0."""

    reference: str | int
    path: str


@dataclass(slots=True, kw_only=True)
class Entry:
    """One entry, in clean text of any length; `assemble` completes it, and truncates and reports what is too long.

    `path` is its place in the file (`features[3]`, `line 12`). `reference` is its id in the file, or None: then its
    category and name identify it. An entry without a name and a description is refused. `phase` is what the file calls
    the phase, week or milestone that it belongs to; phases follow one after the other. A `blocked` entry is pending
    while one of its dependencies is, else stuck. `texts` are titled texts without a place of their own, for the end of
    the description. If an entry was `archived_from` another state, it returns to that state when it is restored.
    """

    path: str
    reference: str | None = None
    name: str | None = None
    description: str | None = None
    steps: list[str] = field(default_factory=list)
    category: str | None = None
    priority: int | None = None
    phase: str | int | None = None
    status: Status = Status.PENDING
    archived_from: Status | None = None
    blocked: bool = False
    dependencies: list[Dependency] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    evidence: str | None = None
    last_failure: str | None = None
    human_request: dict[str, Any] | None = None
    human_answer: dict[str, Any] | None = None
