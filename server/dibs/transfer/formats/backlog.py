"""The types that all formats share: the file that they read, the backlog that they return, and the mapping report."""

from __future__ import annotations

import codecs
import sys
from collections import Counter
from collections.abc import Mapping
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
class ReadOptions:
    """The user's options for reading a file.

    `statuses` gives unknown status words, in snake case, a meaning. `drop_unknown` leaves out dependencies on features
    that the file does not have. With `highest_first` a larger priority is more urgent. `tag` selects one list of a file
    with several lists. With `subtasks_as_features` subtasks are features instead of steps.
    """

    statuses: Mapping[str, Status] = field(default_factory=dict)
    drop_unknown: bool = False
    highest_first: bool = False
    tag: str | None = None
    subtasks_as_features: bool = False


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to import. `driver` is the SQLite module of this process, or None where databases are not read."""

    path: Path
    content: bytes
    driver: ModuleType | None = None
    options: ReadOptions = field(default_factory=ReadOptions)

    @classmethod
    def open(cls, path: Path, driver: ModuleType | None, options: ReadOptions | None = None) -> Self:
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
        return cls(path, content, driver, options or ReadOptions())

    def text(self) -> str:
        """Return the content as text, in UTF-8 or, with a byte order mark, in UTF-16. Raises InvalidInput."""
        encoding = "utf-16" if self.content[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else "utf-8-sig"
        try:
            return self.content.decode(encoding)
        except UnicodeDecodeError as error:
            if encoding == "utf-16":
                raise InvalidInput(
                    "it has a UTF-16 byte order mark but is not valid UTF-16; save it as UTF-8."
                ) from error
            # The codec removes a byte order mark before it counts.
            before = error.object[: error.start]
            line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
            raise InvalidInput(
                f"it is not UTF-8 at line {line}, byte {column} of the line; save it as UTF-8."
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedFeature:
    """One feature of the file, within the limits of a Dibs feature.

    `reference` identifies it within its source, and `dependencies` are references of the same source. `path` is its place
    in the file (`features[3]`), for later refusals. `archived_from` is set if it is archived. `human_request` is set if
    its status is `needs_human`, or together with a `human_answer` that no agent has read yet. `notes` become notes.
    `has_priority` is false if the priority is only the place in the file. `evidence` is a summary, or all parts by name.
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
    has_priority: bool = False
    paths: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    archived_from: Status | None = None
    evidence: str | dict[str, Any] | None = None
    last_failure: str | None = None
    human_request: dict[str, Any] | None = None
    human_answer: dict[str, Any] | None = None

    @property
    def proof(self) -> dict[str, Any] | None:
        """The evidence in the form that a feature stores."""
        return {"summary": self.evidence} if isinstance(self.evidence, str) and self.evidence else self.evidence or None


@dataclass(frozen=True, slots=True)
class Backlog:
    """The backlog in a file, with its features in the file's order, and the report of the mapping.

    `format` names the format. `source` is what the file says its references belong to (a branch, a tag, the folder of a
    spec), or None if only its path identifies it. `project` is the `backlog_id` of the project that exported the file:
    there, the references are the numbers of features. `unknown` lists the status words that were not understood,
    `mapped` the fields and words that were imported, and as what, `texts` what became text and may be truncated, and
    `ignored` what was left out, and why. Each line ends with a count. `warnings` are sentences about the whole file.
    """

    format: str
    features: list[ImportedFeature]
    source: str | None = None
    project: str | None = None
    unknown: list[str] = field(default_factory=list)
    mapped: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Report:
    """Counts what was mapped, what became text and what was ignored while a file is read."""

    def __init__(self) -> None:
        self._unknown: Counter[str] = Counter()
        self._mapped: Counter[str] = Counter()
        self._texts: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._warnings: list[str] = []

    def unknown(self, what: str) -> None:
        """Count a status word whose meaning is unknown."""
        self._unknown[what] += 1

    def mapped(self, source: str, target: str) -> None:
        """Count a field or value that was imported as `target`. If the names are equal, only one name is reported."""
        self._mapped[source if source == target else f"{source} -> {target}"] += 1

    def as_text(self, what: str) -> None:
        """Count a field that became text in the description, or a text that was truncated."""
        self._texts[what] += 1

    def ignored(self, what: str) -> None:
        """Count a field that is not imported, or a value that could not be mapped."""
        self._ignored[what] += 1

    def warn(self, sentence: str) -> None:
        """Add a sentence about the whole file."""
        self._warnings.append(sentence)

    def backlog(self, name: str, features: list[ImportedFeature], source: str | None = None) -> Backlog:
        """Return the features of the format called `name`, together with this report."""
        return Backlog(
            format=name,
            features=features,
            source=source,
            unknown=_lines(self._unknown),
            mapped=_lines(self._mapped),
            texts=_lines(self._texts),
            ignored=_lines(self._ignored),
            warnings=list(self._warnings),
        )


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
