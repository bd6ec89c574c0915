"""Runs git."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from dibs.platform.processes import OWN_SESSION
from dibs.work.tasks import uninterrupted

PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")
"""Variables by which a hook of git names its own repository."""


class GitError(Exception):
    """Git failed; the text is git's own message."""


def environment() -> dict[str, str]:
    """Return this process's environment without what ties git to one repository."""
    return {name: value for name, value in os.environ.items() if name not in PLACES}


async def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, and return what it prints. A cancellation does not stop git. Raises GitError."""
    return await uninterrupted(asyncio.to_thread(_run, folder, arguments))


async def succeeds(folder: Path, *arguments: str) -> bool:
    """Return whether git ends with status 0."""
    try:
        await git(folder, *arguments)
    except GitError:
        return False
    return True


def _run(folder: Path, arguments: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env={**environment(), "GIT_TERMINAL_PROMPT": "0"},
            **OWN_SESSION,  # an interrupt at the terminal does not reach it
        )
    except OSError as error:
        raise GitError(f"git: {error.strerror}") from error
    if done.returncode:
        raise GitError(os.fsdecode(done.stderr or done.stdout).strip() or f"git {arguments[0]} failed")
    return os.fsdecode(done.stdout).removesuffix("\n")
