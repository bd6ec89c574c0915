"""What all formats share: the file that they read, the backlog that they return, and the report of the mapping."""

from __future__ import annotations

import codecs
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Self

from dibs.regular_file import irregularity, read_regular
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status

MAX_BYTES: Final = 50_000_000
REFERENCE_LENGTH: Final = 255
CATEGORY_LENGTH: Final = 100
NAME_LENGTH: Final = 255
DESCRIPTION_LENGTH: Final = 20_000
STEP_LENGTH: Final = 2_000
STEP_COUNT: Final = 100
PRIORITY_LIMIT: Final = 1_000_000_000
REPORT_LINES: Final = 100
"""The number of mapped or ignored fields that a report lists; one more line counts the rest."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to import. `driver` is the SQLite module of this process, or None where databases are not read."""

    path: Path
    content: bytes
    driver: ModuleType | None = None

    @classmethod
    def open(cls, path: Path, driver: ModuleType | None) -> Self:
        """Read a regular file of at most `MAX_BYTES` bytes, or standard input for `-`. Raises InvalidInput."""
        try:
            if str(path) == "-":
                content = sys.stdin.buffer.read(MAX_BYTES + 1)
            else:
                kind = irregularity(path)
                if kind is not None:
                    raise InvalidInput(f"it is {kind}, not a regular file; `-` reads standard input.")
                content = read_regular(path, MAX_BYTES + 1)
        except FileNotFoundError:
            raise InvalidInput("there is no such file; check the path.") from None
        except OSError as error:
            raise InvalidInput(f"it cannot be read: {error.strerror}.") from error
        if len(content) > MAX_BYTES:
            raise InvalidInput(f"it is larger than {MAX_BYTES // 1_000_000} MB; split it or name another file.")
        return cls(path, content, driver)

    def text(self) -> str:
        """Return the content as text, in UTF-8 or, with a byte order mark, in UTF-16. Raises InvalidInput."""
        encoding = "utf-16" if self.content[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else "utf-8-sig"
        try:
            return self.content.decode(encoding)
        except UnicodeDecodeError as error:
            if encoding == "utf-16":
                raise InvalidInput("it begins as UTF-16, but is not; save it as UTF-8.") from error
            # The codec removes a byte order mark before it counts.
            before = error.object[: error.start]
            line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
            raise InvalidInput(
                f"it is not UTF-8 at line {line}, byte {column} of the line; save it as UTF-8."
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedFeature:
    """One feature of the file, within the limits of a Dibs feature.

    `reference` is its id in the file, and `dependencies` are references in the same file. `path` is its place in the
    file (`features[3]`), for later refusals. `archived_from` is set if it is archived. `human_request` is set if its
    status is `needs_human`, or together with a `human_answer` that no agent has read yet.
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
    """The backlog in a file, with its features in the file's order.

    `source` names the format. `mapped` lists the fields and words that were imported, and as what; `ignored` lists those
    that were left out. Each line ends with a count.
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
        """Count a field or value that was imported as `target`; one that keeps its name is reported by that alone."""
        self._mapped[source if source == target else f"{source} -> {target}"] += 1

    def ignored(self, what: str) -> None:
        """Count a field that is not imported, or a value that could not be mapped."""
        self._ignored[what] += 1

    def backlog(self, source: str, features: list[ImportedFeature]) -> Backlog:
        """Return the features together with this report."""
        return Backlog(source, features, _lines(self._mapped), _lines(self._ignored))


def _lines(counted: Counter[str]) -> list[str]:
    lines = [f"{what} ({count})" for what, count in counted.items()]
    rest = len(lines) - REPORT_LINES
    return [*lines[:REPORT_LINES], f"and {rest} more"] if rest > 0 else lines


def within(text: str, limit: int, path: str) -> str:
    """Return `text` unchanged. Raises InvalidInput if it has more than `limit` characters."""
    if len(text) > limit:
        message = f"{path} has {len(text):,} characters and may have {limit:,}; shorten it in the file."
        raise InvalidInput(message, field=path)
    return text
