"""A disk that loses its power, and its possible content afterwards, under SQLite's own assumptions about disks.

Synced data is there. Any part of the later writes may be there: a write can be complete, or torn into sectors, of which
any may be missing and one may be half new. A size may have changed without its bytes, which are then zeros or random. In
a folder that was not synced, a new name may be missing, and a removed name may still be there. Bytes that a write did not
touch never change (https://www.sqlite.org/psow.html), and a sector becomes new from one of its ends
(https://www.sqlite.org/atomiccommit.html, 2: "linear"). Of two writes to the same bytes the later one wins, if it is there
at all: no cache of a kernel or disk writes an older version of a sector after a newer version.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from faults.recording import Cut, Event, Made, Removed, Said, Synced, Written

SECTOR = 512
"""The sector size in bytes: the smallest in use, so that pages of 4,096 bytes are torn too."""

Way = Literal["all", "none", "some", "torn"]
"""How much unsynced data is there: everything, as after the death of the process; nothing; some writes; parts of them."""


@dataclass(slots=True)
class File:
    """The synced content of a file, and the changes since."""

    there: bytes = b""
    since: list[Written | Cut] = field(default_factory=list)

    def sync(self) -> None:
        """Bring all changes to the disk."""
        self.there = self.after("all", random.Random(0))
        self.since.clear()

    def after(self, way: Way, chance: random.Random) -> bytes:
        """Return a possible content after a power cut."""
        content, reached = bytearray(self.there), len(self.there)
        for one in self.since:
            if isinstance(one, Cut):
                if way == "all" or (way != "none" and chance.random() < 0.5):
                    content = content[: one.size].ljust(one.size, b"\0")
                continue
            reached = max(reached, one.offset + len(one.data))
            for start, data in _parts(one, way, chance):
                content = content.ljust(start, b"\0")
                content[start : start + len(data)] = data
        if way in ("some", "torn") and len(content) < reached and chance.random() < 0.5:
            missing = chance.randint(1, reached - len(content))  # the new size is there, but the bytes are not
            content += bytes(missing) if chance.random() < 0.5 else chance.randbytes(missing)
        return bytes(content)


def _parts(one: Written, way: Way, chance: random.Random) -> list[tuple[int, bytes]]:
    """Return the parts of a write that are there."""
    if way == "all" or (way == "some" and chance.random() < 0.5):
        return [(one.offset, one.data)]
    if way != "torn":
        return []
    found: list[tuple[int, bytes]] = []
    much = chance.choice([0.1, 0.5, 0.9, 1.0])
    start, end = one.offset, one.offset + len(one.data)
    while start < end:
        stop = min(end, start - start % SECTOR + SECTOR)
        if chance.random() < much:
            found.append((start, one.data[start - one.offset : stop - one.offset]))
        elif chance.random() < 0.1:  # this sector was being written
            middle = chance.randint(start, stop)
            first, last = (start, middle) if chance.random() < 0.5 else (middle, stop)
            found.append((first, one.data[first - one.offset : last - one.offset]))
        start = stop
    return found


class Disk:
    """Files and folders, with the changes that are on the disk and those that are not."""

    def __init__(self, root: Path) -> None:
        self._root = f"{root}"
        self._names: dict[str, File | None] = {}
        self._on_disk: dict[str, File | None] = {}
        self._renamed: list[tuple[str, bool, File | None]] = []

    def do(self, event: Event) -> None:
        """Apply the change."""
        match event:
            case Made(path, folder):
                if path not in self._names:
                    self._names[path] = None if folder else File()
                    self._renamed.append((path, True, self._names[path]))
            case Removed(path):
                self._renamed.append((path, False, self._names.pop(path)))
            case Written(path) | Cut(path):
                self._file(path).since.append(event)
            case Synced(path):
                self._sync(path)
            case Said():
                pass

    def unsynced(self) -> bool:
        """Return whether a power cut could lose anything."""
        return bool(self._renamed) or any(one is not None and one.since for one in self._names.values())

    def _file(self, path: str) -> File:
        file = self._names[path]
        assert file is not None, f"{path} is a folder"
        return file

    def _sync(self, path: str) -> None:
        if path != self._root and self._names[path] is not None:
            self._file(path).sync()
            return
        for one in self._renamed:
            if _folder(one[0]) == path:
                _name(self._on_disk, *one)
        self._renamed = [one for one in self._renamed if _folder(one[0]) != path]

    def after(self, way: Way, chance: random.Random) -> dict[str, bytes | None]:
        """Return the files by path after a power cut, with None for a folder."""
        found = dict(self._on_disk)
        stopped: set[str] = set()  # the changes of one name come in the order in which they were made
        for one in self._renamed:
            lost = way == "none" or (way != "all" and chance.random() < 0.5)
            if lost:
                stopped.add(one[0])
            if one[0] not in stopped:
                _name(found, *one)
        return {
            path: None if file is None else file.after(way, chance)
            for path, file in found.items()
            if self._is_reached(path, found)
        }

    def _is_reached(self, path: str, found: dict[str, File | None]) -> bool:
        folder = _folder(path)
        return folder == self._root or (folder in found and self._is_reached(folder, found))


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _name(names: dict[str, File | None], path: str, there: bool, file: File | None) -> None:
    if there:
        names[path] = file
    else:
        names.pop(path, None)


def put(found: dict[str, bytes | None], root: Path, into: Path) -> None:
    """Create the files under `root` in another folder."""
    for path in sorted(found):
        place, content = into / Path(path).relative_to(root), found[path]
        if content is None:
            place.mkdir()
        else:
            place.write_bytes(content)
