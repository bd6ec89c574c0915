"""How tools write Markdown checklists: one row for each tool."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dibs_schema.status import Status

MARKS: Final[Mapping[str, Status]] = {
    **dict.fromkeys("xX\u2713\u2714\u2705", Status.PASSING),
    **dict.fromkeys(" ~/>!?", Status.PENDING),
    "-": Status.ARCHIVED,
}
"""What the character in a box means, where a tool gives it no other meaning."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one tool writes its checklists.

    `path` and `content` recognize a file of the tool. `number` matches the number at the beginning of a task; `dotted`
    says that its first part is the phase; otherwise the heading is. A dialect without numbers has steps instead of
    nested tasks.
    """

    name: str
    path: re.Pattern[str] | None = None
    content: re.Pattern[str] | None = None
    number: re.Pattern[str] | None = None
    dotted: bool = False
    marks: Mapping[str, Status] = field(default_factory=dict)

    def numbers_in(self, text: str) -> list[str]:
        """Return the numbers of tasks in a text."""
        return [found[1] for word in text.split() if self.number and (found := self.number.match(word.rstrip(",;")))]


def _numbered(form: str) -> re.Pattern[str]:
    return re.compile(rf"(?:\*\*|__)?({form})(?:\*\*|__)?[.:)]?(?:\*\*|__)?(?:\s+|$)", re.ASCII)


_DOTTED = _numbered(r"\d{1,5}(?:\.\d{1,5})*[a-z]?")
KIRO: Final = Dialect(
    "Kiro tasks",
    path=re.compile(r"(?:^|/)\.kiro/specs/[^/]+/tasks\.md$"),
    content=re.compile(r"^[ \t]*[-*] _Requirements: ", re.MULTILINE),
    number=_DOTTED,
    dotted=True,
    marks={"-": Status.PENDING},
)
OPENSPEC: Final = Dialect(
    "OpenSpec tasks",
    path=re.compile(r"(?:^|/)openspec/changes/(?:archive/)?[^/]+/tasks\.md$"),
    content=re.compile(r"^## \d+\. .*\n+[-*] \[[ xX]\] \d+\.\d+ ", re.MULTILINE),
    number=_DOTTED,
    dotted=True,
)
SPEC_KIT: Final = Dialect(
    "spec-kit tasks",
    path=re.compile(r"(?:^|/)specs/[^/]+/tasks\.md$"),
    content=re.compile(r"^[ \t]*[-*] \[[ xX]\] (?:\*\*)?T\d{3}", re.MULTILINE),
    number=_numbered(r"T\d{1,5}[a-zA-Z]?"),
)
PLAIN: Final = Dialect("checklist")
DIALECTS: Final = (KIRO, OPENSPEC, SPEC_KIT)
"""The first whose path, or else whose content, fits reads a file; a checklist that fits none is plain."""
