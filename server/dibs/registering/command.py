"""Which command starts the server, and why that one."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = "dibs-mcp"
CACHES = frozenset({".cache", "Caches", "archive-v0", "environments-v2"})
"""Folders that hold what `uvx` and `pipx run` install for one run: it may be gone tomorrow.

Source: https://docs.astral.sh/uv/reference/storage/ and pipx's documentation of PIPX_HOME.
"""


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, and the reason why it is written and no other."""

    words: tuple[str, ...]
    why: str

    @property
    def program(self) -> str:
        """What is started."""
        return self.words[0]

    @property
    def arguments(self) -> list[str]:
        """What it is given."""
        return list(self.words[1:])


def server_command(prefix: Path | None = None, search: str | None = None) -> Command:
    """The command that a client on this machine finds: `search` is a PATH, `prefix` where this Python lives."""
    prefix = prefix or Path(sys.prefix)
    if CACHES.intersection(prefix.parts):
        return Command(
            ("uvx", SCRIPT), "this dibs runs from a cache that may be emptied, so uvx is to fetch it again"
        )
    found = shutil.which(SCRIPT, path=search)
    if found is not None:
        return Command((SCRIPT,), f"{SCRIPT} is on PATH, at {found}{_only_while_active(Path(found))}")
    return Command(
        (sys.executable, "-m", "dibs", "serve"),
        f"{SCRIPT} is not on PATH, so it is this Python by its full path, which is of this machine alone",
    )


def _only_while_active(found: Path) -> str:
    """What is to be said of a command that an activated virtual environment has put on PATH."""
    active = os.environ.get("VIRTUAL_ENV")
    if not active or not found.is_relative_to(active):
        return ""
    return ", which is so only where this virtual environment is active: start your client there"


def shown(words: Sequence[str]) -> str:
    """The command as a person would type it."""
    return shlex.join(words)
