"""The browser that a board has let in, remembered when the board ends, so that its open pages come back by themselves.

A file of this user alone has a digest of the browser's cookie, and the port. A reader of the file does not learn the
cookie. It is about one port, one choice of backlogs and one role: a read-only page does not come back as a page that
can act.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dibs.platform.users import is_private
from dibs.regular_file import make_private, read_regular
from dibs.root_folder import state_folder
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs.settings import Settings

LONGEST = 7 * 86_400.0
"""Seconds for which the browser keeps its cookie, and for which a board that starts again knows it."""
LARGEST_FILE = 1_000
"""Bytes."""


class KnownBrowser:
    """The one browser that a board at `port` lets in. Without a `file` it is forgotten when the board ends."""

    def __init__(self, file: Path | None, port: int) -> None:
        self._file = file
        self._port = port
        stored = _stored(file)
        is_known = stored.get("port") == port and 0 <= time.time() - stored["at"] < LONGEST
        self._digest = str(stored["digest"]) if is_known else ""

    def has(self, cookie: str) -> bool:
        """Return whether the cookie is the browser's."""
        return secrets.compare_digest(_digest(cookie), self._digest)

    def admit(self) -> str:
        """Return the cookie for a new browser, which replaces the earlier one."""
        cookie = secrets.token_urlsafe(32)
        self._digest = _digest(cookie)
        if self._file is not None:
            with suppress(OSError):  # where nothing can be stored, the page says how to come back
                self._store(self._file)
        return cookie

    def _store(self, file: Path) -> None:
        make_private(file.parent, file.parent.parent)
        file.parent.chmod(0o700)  # it may have come with a repository
        unfinished = file.with_name(f".{secrets.token_hex(8)}")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, json.dumps({"port": self._port, "digest": self._digest, "at": time.time()}).encode())
        finally:
            os.close(descriptor)
        unfinished.replace(file)


def file_for(backlogs: Sequence[tuple[Database, Settings]]) -> Path | None:
    """Return the file for the board of some backlogs, which need not exist, or None where there is no place for it."""
    (first, settings), *_ = backlogs
    places = [
        f"{one.file and os.path.realpath(one.file)} {one.label} {own.project} {own.role}" for one, own in backlogs
    ]
    name = hashlib.sha256("\0".join(places).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    try:
        return state_folder(first.file, isolated=settings.isolated) / "board" / f"{name}.json"
    except InvalidInput:  # the current folder belongs to no project
        return None


def last_port(file: Path | None) -> int:
    """Return the port at which a browser was let in last, or 0."""
    return int(_stored(file).get("port", 0))


def _stored(file: Path | None) -> dict[str, Any]:
    """Return the contents of the file, or nothing if it does not exist or no board wrote it.

    A file or folder that others may write, as one that came with a repository, could let in a stranger's browser.
    """
    if file is None:
        return {}
    with suppress(OSError, ValueError, InvalidInput):
        if not (is_private(file) and is_private(file.parent)):
            return {}
        found = json.loads(read_regular(file, LARGEST_FILE, follow=False))
        match found:
            case {"port": int(), "digest": str(), "at": float()} if 0 < found["port"] < 65_536:
                return dict(found)
    return {}


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest()
