"""File areas: the files that a feature's globs can match, in a form that SQL can compare.

An area is the text before a glob's first wildcard and the text after its last one. A file that two globs both match
begins with both beginnings and ends with both endings. If neither beginning is a prefix of the other, or neither ending
a suffix, the globs cannot overlap. Otherwise they may, so a feature sometimes waits unnecessarily.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterable
from itertools import islice, takewhile
from posixpath import splitext
from typing import NamedTuple

from dibs_schema.sanitize import clean

MOST_PATHS = 20
LONGEST_PATH = 300
"""Characters of one path."""
LONGEST_PATHS = 2_000
"""Characters of all paths of a feature, as a JSON list, so that a claim can always show all of them."""

_OPENS = re.compile(r"[*?\[{]|[@+!](?=\()")
_SPECIAL = re.compile(r"[*?\[\]{}()]")


class Area(NamedTuple):
    """The common beginning and ending of all files that a path matches."""

    beginning: str
    ending: str

    def meets(self, other: Area) -> bool:
        """Return whether a file can be in both areas, by the same test as the SQL of a claim."""
        begins = self.beginning.startswith(other.beginning) or other.beginning.startswith(self.beginning)
        return begins and (self.ending.endswith(other.ending) or other.ending.endswith(self.ending))


class AreaIndex:
    """Areas, to look up whether another area overlaps with any of them."""

    def __init__(self, areas: Iterable[tuple[str, str]]) -> None:
        self._endings: dict[str, set[str]] = {}
        for beginning, ending in areas:
            self._endings.setdefault(beginning, set()).add(ending)
        self._beginnings = sorted(self._endings)
        self._lengths = sorted({len(beginning) for beginning in self._beginnings})
        self._below: dict[str, set[str]] = {}

    def __bool__(self) -> bool:
        """Return whether there is any area."""
        return bool(self._endings)

    def overlapping(self, rows: Iterable[tuple[int, str | None, str | None]]) -> set[int]:
        """Return the features with an area that overlaps with one of these.

        A row has a feature, and the beginning and ending of one of its areas, or None for a feature without areas.
        """
        found: set[int] = set()
        endings_of, lengths = self._endings.get, self._lengths  # as variables: there may be 100,000 rows
        for feature, beginning, ending in rows:
            if beginning is None or ending is None or feature in found:
                continue
            for length in lengths:
                endings = endings_of(beginning[:length])
                if endings is not None and length <= len(beginning) and ("" in endings or _fits(ending, endings)):
                    found.add(feature)
                    break
            else:
                if _fits(ending, self._endings_below(beginning)):
                    found.add(feature)
        return found

    def _endings_below(self, beginning: str) -> set[str]:
        """Return the endings of the areas whose beginnings start with `beginning`."""
        place = bisect_left(self._beginnings, beginning)
        if place == len(self._beginnings) or not self._beginnings[place].startswith(beginning):
            return _NONE
        if beginning not in self._below:
            below = takewhile(lambda one: one.startswith(beginning), islice(self._beginnings, place, None))
            self._below[beginning] = set().union(*(self._endings[one] for one in below))
        return self._below[beginning]


_NONE: set[str] = set()


def _fits(ending: str, endings: set[str]) -> bool:
    return "" in endings or any(one.endswith(ending) or ending.endswith(one) for one in endings)


def area_of(path: str) -> Area:
    """Return the area of a path that `path_of` has normalised.

    A path without a wildcard is a file, or a folder with its contents; the slash distinguishes `src` from `src2`.
    The ending of a glob counts only if it is a file extension: `*.py` matches files, but `packages/*/tests` also
    matches folders, with their contents.
    """
    opens = _OPENS.search(path)
    if opens is None:
        return Area(f"{path}/", "")
    extension = splitext(path.rpartition("/")[2])[1]
    if not extension or _SPECIAL.search(extension):
        return Area(path[: opens.start()], "")
    return Area(path[: opens.start()], path[max(match.end() for match in _SPECIAL.finditer(path)) :])


def areas_of(paths: Iterable[str]) -> list[Area]:
    """Return the areas of a feature's paths, without duplicates."""
    return sorted({area_of(path) for path in paths})


def path_of(text: str) -> str:
    """Return a path as it is stored: relative to the repository's root, without `./` and double slashes.

    Raises ValueError with a message for the author of the path.
    """
    path = text.strip()
    if not 1 <= len(path) <= LONGEST_PATH:
        raise ValueError(f"must have 1 to {LONGEST_PATH} characters")
    if clean(path) != path or not path.isprintable():
        raise ValueError("has an invisible character; write the path as the repository has it")
    if "\\" in path:
        raise ValueError("separate folders with /, as in src/app, and escape nothing")
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path):
        raise ValueError("must be relative to the repository's root, as in src/app/**")
    if path.startswith("!"):
        raise ValueError("cannot exclude files; write the files that the feature changes")
    parts = path.split("/")
    if ".." in parts:
        raise ValueError('must not contain ".."; write it from the repository\'s root')
    relative = "/".join(part for part in parts if part not in ("", "."))
    if not relative:
        raise ValueError("matches every file; write ** if that is what you mean")
    means_folders = path.endswith("/") and _OPENS.search(relative)
    return f"{relative}/**" if means_folders else relative


def paths_of(paths: list[str]) -> list[str]:
    """Return all paths of a feature, without duplicates. Raises ValueError if their total length is too great."""
    if len(json.dumps(paths, ensure_ascii=False)) > LONGEST_PATHS:
        raise ValueError(f"have more than {LONGEST_PATHS:,} characters in total; write fewer, wider globs")
    return list(dict.fromkeys(paths))
