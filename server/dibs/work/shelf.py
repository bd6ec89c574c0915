"""Worktrees of features that were put back after a rate limit, on disk, so that the next attempt goes on in them."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from dibs.work.worktrees import Worktree


class Shelf:
    """A file for each feature. Loops with the same state folder share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, feature: int, worktree: Worktree) -> None:
        """Keep a worktree for the feature's next attempt. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._file(feature).with_suffix(".new")
        fields = {"folder": str(worktree.folder), "branch": worktree.branch, "start": worktree.start}
        unfinished.write_text(json.dumps(fields), encoding="utf-8")
        unfinished.replace(self._file(feature))

    def find(self, feature: int) -> Worktree | None:
        """Return the feature's worktree, or None. It stays on the shelf until it is taken."""
        with suppress(OSError, ValueError, TypeError, KeyError):  # there is none, or a power cut has left half of it
            found = json.loads(self._file(feature).read_bytes())
            return Worktree(Path(found["folder"]), found["branch"], found["start"])
        return None

    def take(self, feature: int) -> None:
        """Remove a feature's worktree from the shelf, once something else records it."""
        self._file(feature).unlink(missing_ok=True)

    def all(self) -> list[Worktree]:
        """Return the worktrees on the shelf."""
        features = [int(one.stem) for one in self._folder.glob("*.json") if one.stem.isdigit()]
        return [one for feature in sorted(features) if (one := self.find(feature)) is not None]

    def _file(self, feature: int) -> Path:
        return self._folder / f"{feature}.json"
