"""The state of a feature for an export in place, and the replacements that write it into the text of a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dibs_schema.status import Status


class Edit(NamedTuple):
    """A replacement of the characters from `start` to `end`."""

    start: int
    end: int
    new: str


def with_edits(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with all replacements, which do not overlap."""
    parts: list[str] = []
    at = 0
    for one in sorted(edits):
        parts += (text[at : one.start], one.new)
        at = one.end
    return "".join((*parts, text[at:]))


@dataclass(frozen=True, slots=True)
class State:
    """The state of a feature in the backlog, and the notes that were written there. A claimed feature is pending."""

    status: Status
    archived_from: Status | None = None
    notes: Sequence[str] = ()

    @property
    def passes(self) -> bool:
        """Whether the feature is passing, or was when it was archived."""
        return Status.PASSING in (self.status, self.archived_from)

    def notes_after(self, text: str) -> str:
        """Return a text of notes, followed by the notes that it lacks, each on separate lines."""
        new = [note for note in dict.fromkeys(self.notes) if f"\n{note}\n" not in f"\n{text}\n"]
        return "\n".join((*([text] if text else []), *new))
