"""The command that starts the server: chosen for this machine, or recognized in an entry."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

SCRIPT = "dibs-mcp"
PACKAGE = re.compile(rf"{SCRIPT}(\[.*\])?([@=].*)?")
RUNNERS = (("uvx",), ("uv", "tool", "run"), ("uv", "run"), ("pipx", "run"))
"""Programs that fetch a package and run it."""
WITH_VALUE = frozenset({"--from", "--with", "--python", "-p", "--index", "--spec", "--directory", "-X", "-W"})
"""Options of runners and of Python whose value is the next word."""
CACHES = re.compile(r"/(archive-v0|environments-v2|pipx/\.cache|\.cache/pipx|Caches/pipx)/")
"""Folders where `uvx` and `pipx run` install packages for one run. They may be deleted at any time.

Source: https://docs.astral.sh/uv/reference/storage/ and pipx's documentation of PIPX_HOME. Other tools keep their
environments in caches too (`~/.cache/pypoetry/virtualenvs`), for good.
"""


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, and the reason for its choice."""

    words: tuple[str, ...]
    why: str

    @property
    def program(self) -> str:
        """The program to start."""
        return self.words[0]

    @property
    def arguments(self) -> list[str]:
        """The program's arguments."""
        return list(self.words[1:])


def server_command(prefix: Path | None = None, search: str | None = None, source: str | None = None) -> Command:
    """Return a command that clients on this machine can start.

    `search` is a PATH, `prefix` the folder of this Python, and `source` what this package was installed from.
    """
    prefix = prefix or Path(sys.prefix)
    if CACHES.search(f"{prefix.as_posix()}/"):
        source = source or installed_from()
        words = ("uvx", "--from", source, SCRIPT) if source else ("uvx", SCRIPT)
        return Command(words, "this dibs runs from a cache that may be deleted, so uvx fetches it again")
    found = shutil.which(SCRIPT, path=search)
    if found is not None:
        active = os.environ.get("VIRTUAL_ENV")
        temporary = ", but only while this virtual environment is active: start your client in it"
        why = temporary if active and Path(found).is_relative_to(active) else ""
        return Command((SCRIPT,), f"{SCRIPT} is on PATH, at {found}{why}")
    return Command(
        (sys.executable, "-m", "dibs", "serve"),
        f"{SCRIPT} is not on PATH, so the command names this Python by its full path, which is valid on this machine only",
    )


def installed_from() -> str | None:
    """Return the repository, folder or file that this package was installed from, or None if it came from an index.

    Source: PEP 610, direct_url.json.
    """
    try:
        text = distribution(SCRIPT).read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    return requirement(json.loads(text)) if text else None


def requirement(origin: dict[str, Any]) -> str:
    """Convert an origin from the form of PEP 610 to a requirement, such as `git+https://git.example/dibs@v1`."""
    url: str = origin["url"]
    if version_control := origin.get("vcs_info"):
        revision = version_control.get("requested_revision") or version_control["commit_id"]
        url = f"{version_control['vcs']}+{url}@{revision}"
    if subdirectory := origin.get("subdirectory"):
        url += f"#subdirectory={subdirectory}"
    return url


def options_of(words: Sequence[str]) -> list[str] | None:
    """Return the options that a command line passes to Dibs, or None if it starts another program."""
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
    """Return the words from the first one that is neither an option nor an option's value."""
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] in WITH_VALUE else words[1:]
    return words
