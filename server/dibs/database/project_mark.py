"""A project that is not live where it stands: it has moved elsewhere, is an unfinished copy, or is a backup."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Literal, Self

from dibs_schema.refusals import DatabaseReplaced

LONGEST_MARK = 500
"""Characters of `projects.moved_to`."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What `projects.moved_to` says: nobody writes here, and why.

    A project that has `moved` names its copy; one that is being `copied` names what it is copied from, and a
    `backup` what it is of. `generation` tells that other project from any other that will ever have its name,
    `label` is where it is, without credentials. Of a backup, `at` is when it was made, in seconds of the wall
    clock, and `seal` the schema's version and the digest of its rows.
    """

    state: Literal["moved", "copied", "backup"]
    generation: str
    project: str
    label: str
    at: float = 0.0
    seal: str = ""

    @classmethod
    def read(cls, text: str) -> Self:
        """The mark that a row holds."""
        return cls(*json.loads(text))

    def __str__(self) -> str:
        text = self._text(self.label)
        too_long = len(text) - LONGEST_MARK
        return text if too_long <= 0 else self._text(f"…{self.label[too_long + 1 :]}")

    def _text(self, label: str) -> str:
        more = [self.at, self.seal] if self.state == "backup" else []
        return json.dumps([self.state, self.generation, self.project, label, *more], ensure_ascii=False)


def new_place(moved_to: str | None) -> str | None:
    """Where the project of a row with that mark is live now, or None where it has not moved."""
    mark = Mark.read(moved_to) if moved_to is not None else None
    return mark.label if mark is not None and mark.state == "moved" else None


def backup_of(moved_to: str | None) -> str | None:
    """What the project of a row with that mark is a backup of, and since when; None where it is none."""
    mark = Mark.read(moved_to) if moved_to is not None else None
    return f"{mark.label}, made {when(mark.at)}" if mark is not None and mark.state == "backup" else None


def when(at: float) -> str:
    """A time as users read it in messages, the same on every machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def moved(name: str, mark: Mark) -> DatabaseReplaced:
    """The refusal to write to a project that is not live here."""
    if mark.state == "copied":
        return DatabaseReplaced(
            f"The project {name!r} here is a copy of {mark.project!r} at {mark.label} that was not finished. "
            "Nothing was written. A person runs the same `dibs copy` again, which finishes it.",
            moved_from=mark.label,
        )
    if mark.state == "backup":
        return DatabaseReplaced(
            f"This is a backup of the project {mark.project!r} at {mark.label}, made {when(mark.at)}. Nothing was written. "
            "A person sets DIBS_DB to the backlog itself, or makes one of this with `dibs restore`.",
            backup_of=mark.label,
        )
    elsewhere = f" and DIBS_PROJECT to {mark.project}" if mark.project != name else ""
    return DatabaseReplaced(
        f"The project {name!r} has moved to {mark.label}. Nothing was written. A person sets DIBS_DB to it{elsewhere} and "
        "restarts the server, or brings the project back by copying it from there to here (`dibs copy`).",
        moved_to=mark.label,
    )
