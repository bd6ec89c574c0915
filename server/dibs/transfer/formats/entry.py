"""One entry of a file as a reader returns it, before the checks that all formats share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dibs_schema.status import Status


@dataclass(frozen=True, slots=True)
class Dependency:
    """What the file calls a dependency, and where: an id, a name, or its place in the list from 0 as a number."""

    reference: str | int
    path: str


@dataclass(slots=True, kw_only=True)
class Entry:
    """One entry, in clean text of any length; `assemble` completes it, cuts what is too long, and says so.

    `path` is its place in the file (`features[3]`, `line 12`). `reference` is its id in the file, or None: then its
    category and name identify it. An entry has a name or a description, or is refused. `phase` is what the file calls
    the phase, week or milestone that it belongs to; phases follow one after the other. A `blocked` entry is pending while
    one of its dependencies is, else stuck. `texts` are titled texts without a place of their own, for the end of the
    description. Of an entry that was `archived_from` another state, that state counts once it is restored.
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
