"""The tokens of a named agent's claims, kept between the commands of its shell.

One small file for each claim, in a folder for each agent name: `.dibs/tokens/<agent>/<feature>-<digest>`, 0600 in
folders of 0700, put in place whole by a rename. Two shells that share a name never write the same file, since
each claim has a token of its own; so nothing is locked, and nothing is read in order to be written again.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dibs.settings import Settings, current_folder, find_root

_FILE = re.compile(r"(\d{1,10})-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Kept:
    """A token that was kept, and the feature that it claims."""

    feature: int
    token: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where one agent's tokens are; without a folder nothing is kept."""

    folder: Path | None

    def keep(self, feature: int, token: str) -> None:
        """Keep a token. Raises OSError where it cannot be kept."""
        if self.folder is None:
            return
        _make_private(self.folder)
        unfinished = self.folder / f".{secrets.token_hex(8)}"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, token.encode())
        finally:
            os.close(descriptor)
        unfinished.rename(self._file(self.folder, feature, token))

    def drop(self, feature: int, token: str | None) -> None:
        """Keep a token no longer. What cannot be removed does no harm: its claim is over, and it is asked after later."""
        if self.folder is not None and token is not None:
            with suppress(OSError):
                self._file(self.folder, feature, token).unlink()

    def all(self) -> list[Kept]:
        """Every token that is kept, the oldest first."""
        found: list[tuple[int, Kept]] = []
        if self.folder is None or not self.folder.is_dir():
            return []
        for file in self.folder.iterdir():
            named = _FILE.fullmatch(file.name)
            if named is None:
                continue
            try:
                found.append((file.stat().st_mtime_ns, Kept(int(named[1]), file.read_text(encoding="utf-8"))))
            except OSError:  # another shell of that name has just ended the claim, or another user keeps it
                continue
        return [kept for _, kept in sorted(found, key=lambda one: one[0])]

    def of(self, feature: int) -> list[Kept]:
        """The tokens that are kept for a feature, the oldest first."""
        return [one for one in self.all() if one.feature == feature]

    @staticmethod
    def _file(folder: Path, feature: int, token: str) -> Path:
        return folder / f"{feature}-{hashlib.sha256(token.encode()).hexdigest()[:16]}"


def shelf_of(settings: Settings, file: Path | None, label: str) -> Shelf:
    """The shelf of the agent that `settings` name, for the project in the database of that file or label.

    It is in the `.dibs/` that the database is in or beside; where the database is a server's, in that of the
    root folder (see `find_root`).
    """
    if settings.agent is None:
        return Shelf(None)
    if file is None:
        home, place = find_root(current_folder(), isolated=settings.isolated) / ".dibs", label
    else:
        place = str(file.resolve())
        parent = Path(place).parent
        home = parent if parent.name == ".dibs" else parent / ".dibs"
    told = f"{settings.agent}\0{settings.project}\0{place}"
    readable = re.sub(r"[^A-Za-z0-9]+", "-", settings.agent)[:40]
    return Shelf(home / "tokens" / f"{readable}-{hashlib.sha256(told.encode()).hexdigest()[:16]}")


def _make_private(folder: Path) -> None:
    """Make the folder for this user alone, in a `.dibs` that ignores itself in git."""
    tokens = folder.parent
    tokens.parent.mkdir(parents=True, exist_ok=True)
    ignore = tokens.parent / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    for one in (tokens, folder):
        one.mkdir(mode=0o700, exist_ok=True)
