"""Finds the files that a feature changes in the texts and fields of other tools."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from dibs.transfer.formats.backlog import Report
from dibs.transfer.formats.fields import shown
from dibs_schema.file_areas import MOST_PATHS, path_of, paths_of

_NAMES: Final = (
    "c cc cfg conf cpp cs css csv dart env ex exs go gradle graphql h hpp html ini java js json jsx kt lock lua md mdx mjs "
    "php prisma proto ps1 py pyi rb rs scala scss sh sql svelte swift tf toml ts tsx txt vue xml yaml yml"
)
ENDINGS: Final = frozenset(_NAMES.split())
"""The endings of file names by which a text in back quotes counts as a path."""

_QUOTED = re.compile(r"`([^`\s]{1,300})`")
_PATH = re.compile(r"[\w.@+*?\[\]{}()-]+(?:/[\w.@+*?\[\]{}()-]+)*/?")
_LINES = re.compile(r":\d+(?:[-:]\d+)?$")


def quoted_paths(texts: Iterable[str], report: Report) -> list[str]:
    """Return the paths in back quotes in the texts."""
    quoted = (_LINES.sub("", one) for text in texts for one in _QUOTED.findall(text))
    return usable_paths((one for one in quoted if _is_path(one)), report)


def _is_path(text: str) -> bool:
    """Return whether a text is a file with a known ending, a folder with a slash at its end, or a glob of files."""
    if not _PATH.fullmatch(text):
        return False
    ending = text.rpartition(".")[2].casefold()
    return ending in ENDINGS or ("/" in text and (text.endswith("/") or "*" in text))


def usable_paths(paths: Iterable[str], report: Report) -> list[str]:
    """Return the paths that are valid for a feature, as many as fit; report the others as left out."""
    found: list[str] = []
    for given in dict.fromkeys(paths):
        try:
            path = path_of(given)
            if path in found:
                continue
            if len(found) == MOST_PATHS:
                report.ignored(f"paths beyond {MOST_PATHS} of a feature")
                break
            found = paths_of([*found, path])
        except ValueError as error:
            report.ignored(f"path '{shown(given)}': it {error}")
    return found
