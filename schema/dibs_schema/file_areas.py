"""File areas: which files a feature's globs can name, reduced to what two of them are compared by.

An area is the text before a glob's first wildcard and the text after its last. Whatever file two globs both
name begins with both beginnings and ends with both endings, so of each pair one contains the other: where that
is not so, the globs cannot meet. Where it is, they may still not, and a feature waits once too often.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from posixpath import splitext
from typing import NamedTuple

from dibs_schema.sanitize import clean

MOST_PATHS = 20
LONGEST_PATH = 300
"""Characters of one path."""
LONGEST_PATHS = 2_000
"""Characters of all paths of a feature, as a JSON list, so that a claim can always bring them whole."""

_OPENS = re.compile(r"[*?\[{]|[@+!](?=\()")
_SPECIAL = re.compile(r"[*?\[\]{}()]")


class Area(NamedTuple):
    """What every file that a path names begins and ends with."""

    beginning: str
    ending: str

    def meets(self, other: Area) -> bool:
        """Whether some file may lie in both, as a claim asks it of the database."""
        begins = self.beginning.startswith(other.beginning) or other.beginning.startswith(self.beginning)
        return begins and (self.ending.endswith(other.ending) or other.ending.endswith(self.ending))


def area_of(path: str) -> Area:
    """The area of a path as `path_of` leaves it.

    Without a wildcard it is a file, or a folder with all that is in it; the slash keeps `src` and `src2` apart.
    Of a glob, the ending counts only where a file's extension is written out: `*.py` is about files, but
    `packages/*/tests` about folders, too, with all that is in them.
    """
    opens = _OPENS.search(path)
    if opens is None:
        return Area(f"{path}/", "")
    extension = splitext(path.rpartition("/")[2])[1]
    if not extension or _SPECIAL.search(extension):
        return Area(path[: opens.start()], "")
    return Area(path[: opens.start()], path[max(match.end() for match in _SPECIAL.finditer(path)) :])


def areas_of(paths: Iterable[str]) -> list[Area]:
    """The areas of a feature's paths, each once."""
    return sorted({area_of(path) for path in paths})


def path_of(given: str) -> str:
    """A path as it is kept: from the repository's root, without what says nothing (`./`, a second slash).

    Raises ValueError, in words for whoever wrote it.
    """
    path = given.strip()
    if not 1 <= len(path) <= LONGEST_PATH:
        raise ValueError(f"must have 1 to {LONGEST_PATH} characters")
    if clean(path) != path or not path.isprintable():
        raise ValueError("has a character that cannot be seen; write the path as the repository has it")
    if "\\" in path:
        raise ValueError("separate folders with /, as in src/app, and escape nothing")
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path):
        raise ValueError("must be relative to the repository's root, as in src/app/**")
    if path.startswith("!"):
        raise ValueError("cannot exclude; write the files that the feature changes")
    parts = path.split("/")
    if ".." in parts:
        raise ValueError('must not contain ".."; write it from the repository\'s root')
    kept = "/".join(part for part in parts if part not in ("", "."))
    if not kept:
        raise ValueError("names everything; write ** if that is meant")
    means_folders = path.endswith("/") and _OPENS.search(kept)
    return f"{kept}/**" if means_folders else kept


def paths_of(paths: list[str]) -> list[str]:
    """All paths of a feature, each once. Raises ValueError where they are too long together."""
    if len(json.dumps(paths, ensure_ascii=False)) > LONGEST_PATHS:
        raise ValueError(f"have more than {LONGEST_PATHS:,} characters together; write fewer, wider globs")
    return list(dict.fromkeys(paths))
