"""Three lines in `AGENTS.md` and `CLAUDE.md` that tell agents about the backlog, between markers that identify them."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from dibs.registration.change import replace_file
from dibs.regular_file import read_regular
from dibs_schema.refusals import InvalidInput, ReadOnly

FILES = ("AGENTS.md", "CLAUDE.md")
BEGIN, END = "<!-- dibs: begin -->", "<!-- dibs: end -->"
TEXT = """\
The backlog of this project is in the MCP server `features` (Dibs), and other agents build from it at the same time.
Before you build a feature, claim it with `feature_claim_and_get`; only then it is yours alone.
Finish it with `feature_mark_passing` and evidence, or `feature_mark_failing` with the reason."""
_BLOCK = re.compile(rf"(?P<before>(?:\r?\n)?){re.escape(BEGIN)}.*?{re.escape(END)}(?:\r?\n)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Nudge:
    """An instruction file for agents, before and after the change; `before` is None if the file does not exist."""

    file: Path
    before: str | None
    after: str

    @property
    def is_needed(self) -> bool:
        """Whether the file has to be written."""
        return self.after != (self.before or "")

    def write(self) -> None:
        """Write the file, or remove a file that would be empty. Raises Busy if it has changed, and OSError."""
        if not self.after:
            self.file.unlink()
        else:
            replace_file(self.file, self.before, self.after)


def nudges(root: Path, *, remove: bool = False) -> list[Nudge]:
    """Return the changes that add the lines to the project's instruction files, or remove them.

    They go into the files that exist, or into `AGENTS.md` if there are none. Raises InvalidInput for a file that is not
    UTF-8, not regular, outside the project, or has only one of the two markers, and ReadOnly for a file that may not be
    changed.
    """
    found = {name: _text(root / name) for name in FILES}
    there = [name for name, text in found.items() if text is not None]
    chosen = there if there or remove else [FILES[0]]
    targets: dict[Path, Nudge] = {}
    for name in chosen:
        file = (root / name).resolve()  # one is often a symbolic link to the other
        if not file.is_relative_to(root.resolve()):
            raise InvalidInput(
                f"{root / name} leads out of the project, to {file}. Nothing was changed.", field="nudge"
            )
        targets[file] = _nudge(file, found[name], remove=remove)
    return [one for one in targets.values() if one.is_needed]


def _nudge(file: Path, before: str | None, *, remove: bool) -> Nudge:
    text = before or ""
    if (text.count(BEGIN), text.count(END)) not in ((0, 0), (1, 1)) or text.find(END) < text.find(BEGIN):
        raise InvalidInput(
            f"{file} has other markers than one {BEGIN} before one {END}. Mend it by hand. Nothing was changed.",
            field="nudge",
        )
    line = "\r\n" if "\r\n" in text else "\n"
    block = line.join([BEGIN, *TEXT.splitlines(), END, ""])
    if _BLOCK.search(text):
        after = _BLOCK.sub(lambda found: "" if remove else found["before"] + block, text)
    else:
        after = text if remove else _with_gap(text, line) + block
    if before is not None and after != before and not _is_writable(file):
        raise ReadOnly(f"{file} is read-only. Make it writable and repeat. Nothing was changed.")
    return Nudge(file, before, after)


def _with_gap(text: str, line: str) -> str:
    """Return the text with its last line ended, and an empty line."""
    if not text:
        return ""
    return text + (line if text.endswith("\n") else line * 2)


def _is_writable(file: Path) -> bool:
    marked = not file.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)  # the mark counts for root too
    return not marked and os.access(file, os.W_OK)


def _text(file: Path) -> str | None:
    try:
        return read_regular(file, field="nudge").decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file}: byte {error.start} is not UTF-8. Nothing was changed.", field="nudge") from None
    except OSError as error:
        raise ReadOnly(f"{file} cannot be read: {error.strerror}. Nothing was changed.") from error
