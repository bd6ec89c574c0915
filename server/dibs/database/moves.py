"""A project that is not live where it stands: it has moved to another database, or is an unfinished copy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal, Self

from dibs_schema.refusals import DatabaseReplaced

LONGEST_MARK = 500
"""Characters of `projects.moved_to`."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What `projects.moved_to` says: nobody writes here, and why.

    A project that has `moved` names its copy; one that is being `copied` names what it is copied from.
    `generation` tells that other project from any other that will ever have its name, `label` is
    where it is, without credentials.
    """

    state: Literal["moved", "copied"]
    generation: str
    project: str
    label: str

    @classmethod
    def read(cls, text: str) -> Self:
        """The mark that a row holds."""
        return cls(*json.loads(text))

    def __str__(self) -> str:
        text = self._text(self.label)
        too_long = len(text) - LONGEST_MARK
        return text if too_long <= 0 else self._text(f"…{self.label[too_long + 1 :]}")

    def _text(self, label: str) -> str:
        return json.dumps([self.state, self.generation, self.project, label], ensure_ascii=False)


def new_place(moved_to: str | None) -> str | None:
    """Where the project of a row with that mark is live now, or None where it has not moved."""
    mark = Mark.read(moved_to) if moved_to is not None else None
    return mark.label if mark is not None and mark.state == "moved" else None


def moved(name: str, mark: Mark) -> DatabaseReplaced:
    """The refusal to write to a project that is not live here."""
    if mark.state == "copied":
        return DatabaseReplaced(
            f"The project {name!r} here is a copy of {mark.project!r} at {mark.label} that was not finished. "
            "Nothing was written. A person runs the same `dibs copy` again, which finishes it.",
            moved_from=mark.label,
        )
    elsewhere = f" and DIBS_PROJECT to {mark.project}" if mark.project != name else ""
    return DatabaseReplaced(
        f"The project {name!r} has moved to {mark.label}. Nothing was written. A person sets DIBS_DB to it{elsewhere} and "
        "restarts the server, or brings the project back by copying it from there to here (`dibs copy`).",
        moved_to=mark.label,
    )
