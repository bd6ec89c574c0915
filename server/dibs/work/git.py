"""Runs git."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from dibs.git_tree import unbound_environment
from dibs.platform.processes import OWN_SESSION
from dibs.work.tasks import uninterrupted


class GitError(Exception):
    """Git failed; the text is git's own message."""


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
            env={**unbound_environment(), "GIT_TERMINAL_PROMPT": "0"},
            **OWN_SESSION,  # an interrupt at the terminal does not reach it
        )
    except OSError as error:
        raise GitError(f"git: {error.strerror}") from error
    if done.returncode:
        raise GitError(os.fsdecode(done.stderr or done.stdout).strip() or f"git {arguments[0]} failed")
    return os.fsdecode(done.stdout).removesuffix("\n")
