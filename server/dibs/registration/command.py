"""Which command starts the server, and why that one."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = "dibs-mcp"
PACKAGE = re.compile(rf"{SCRIPT}(\[.*\])?([@=].*)?")
RUNNERS = (("uvx",), ("uv", "tool", "run"), ("uv", "run"), ("pipx", "run"))
"""What fetches a package and runs it."""
WITH_VALUE = frozenset({"--from", "--with", "--python", "-p", "--index", "--spec", "--directory", "-X", "-W"})
"""Options of runners and of Python whose value is the next word."""
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


def options_of(words: Sequence[str]) -> list[str] | None:
    """What a command line gives our server beyond its start; None where it starts another."""
    program = re.split(r"[/\\]", words[0])[-1].removesuffix(".exe")
    rest = list(words[1:])
    if program == SCRIPT:
        return rest
    if program == "dibs" and rest[:1] == ["serve"]:
        return rest[1:]
    for runner in RUNNERS:
        if (program, *rest)[: len(runner)] == runner:
            run = _without_options(rest[len(runner) - 1 :])
            return run[1:] if run and PACKAGE.fullmatch(run[0]) else None
    if "-m" in rest:
        place = rest.index("-m")
        if not _without_options(rest[:place]) and rest[place + 1 : place + 3] == ["dibs", "serve"]:
            return rest[place + 3 :]
    return None


def _without_options(words: list[str]) -> list[str]:
    """The words from the first on that is neither an option nor its value."""
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] in WITH_VALUE else words[1:]
    return words


def shown(words: Sequence[str]) -> str:
    """The command as a person would type it."""
    return shlex.join(words)
