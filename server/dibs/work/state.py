"""The state of each agent of the loop, on disk: after a kill, the next loop continues from there."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import anyio

from dibs.platform.durable_sync import sync_descriptor
from dibs.platform.file_locks import lock, unlock
from dibs.regular_file import make_private
from dibs.work.worktrees import Worktree
from dibs_schema.refusals import InvalidInput

LOCK_PATIENCE = 5.0
"""Seconds to wait for the commands of a loop that was killed to end with it."""
LOCK_PAUSE = 0.05

Phase = Literal["planned", "running", "built", "merged"]
"""`planned`: the worktree may be half made. `built`: the command succeeded. `merged`: and so did the --then command."""


@dataclass(frozen=True, slots=True)
class Record:
    """An agent's current attempt."""

    feature: int
    attempt: int
    phase: Phase = "running"
    folder: str | None = None
    branch: str = ""
    start: str = ""
    evidence: dict[str, Any] | None = None

    @property
    def worktree(self) -> Worktree | None:
        """The attempt's worktree, if it has one."""
        return None if self.folder is None else Worktree(Path(self.folder), self.branch, self.start)

    def made(self, worktree: Worktree, phase: Phase) -> Record:
        """Return the record with a worktree."""
        return replace(self, phase=phase, folder=str(worktree.folder), branch=worktree.branch, start=worktree.start)


class LockedFile:
    """A file that one process has locked. A child that inherits `descriptor` keeps the lock for its lifetime."""

    def __init__(self, path: Path) -> None:
        make_private(path.parent, path.parent.parent)
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    async def take(self, patience: float | None) -> bool:
        """Wait for the lock for `patience` seconds, None for ever. Returns False if another process still has it."""
        deadline = anyio.current_time() + (float("inf") if patience is None else patience)
        while True:
            with suppress(BlockingIOError):
                lock(self.descriptor, wait=False)
                return True
            if anyio.current_time() >= deadline:
                return False
            await anyio.sleep(LOCK_PAUSE)

    def close(self) -> None:
        """Release the lock, unless a command has inherited it."""
        os.close(self.descriptor)


class AgentState:
    """The record of one agent, which one loop has at a time."""

    def __init__(self, folder: Path, name: str, number: int) -> None:
        self.agent = f"{name}-{number}"
        self._file = folder / f"{file_name(name)}-{number}.json"
        self._lock = LockedFile(self._file.with_suffix(".lock"))
        self.record: Record | None = None

    @property
    def attempt(self) -> Record:
        """The record, while there is an attempt."""
        assert self.record is not None, "it is written at the beginning of an attempt"
        return self.record

    @property
    def descriptor(self) -> int:
        """The locked file, which the agent's commands inherit."""
        return self._lock.descriptor

    async def open(self, then: LockedFile, say: Callable[[str], Awaitable[None]]) -> None:
        """Lock and read the record. Raises InvalidInput if another loop has it.

        A --then outlives its loop. While one runs, which has `then` locked, this waits for it, and says so.
        """
        is_locked = await self._lock.take(LOCK_PATIENCE)
        if not is_locked and not await then.take(0):
            await say(f"{self.agent}: waits for the --then that an earlier loop has started")
            await then.take(None)
            unlock(then.descriptor)
            is_locked = await self._lock.take(LOCK_PATIENCE)
        elif not is_locked:
            unlock(then.descriptor)
        if not is_locked:
            raise InvalidInput(
                f"Another `dibs work` runs here as {self.agent}. Give this one another name with --agent.",
                field="--agent",
            )
        with suppress(OSError, ValueError, TypeError):  # there is none, or a power cut has left half of it
            self.record = Record(**json.loads(self._file.read_bytes()))

    def write(self, record: Record) -> None:
        """Replace the record. Raises OSError."""
        self.record = record
        unfinished = self._file.with_suffix(".new")
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(asdict(record), file)
            file.flush()
            sync_descriptor(file.fileno())
        unfinished.replace(self._file)

    def change(self, **fields: Any) -> None:
        """Change fields of the record."""
        self.write(replace(self.attempt, **fields))

    def forget(self) -> None:
        """Remove the record of an attempt that is over."""
        self.record = None
        self._file.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the agent, so that another loop can have it."""
        self._lock.close()


def file_name(name: str) -> str:
    """Return the beginning of the names of a loop's files. A name with other characters gets a digest, to stay unique."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", name)[:60]
    return readable if readable == name else f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def surplus(folder: Path, name: str, agents: int) -> list[int]:
    """Return the numbers of the agents of an earlier loop that have a record, and that a loop of `agents` does not have."""
    record = re.compile(re.escape(file_name(name)) + r"-(\d{1,4})\.json")
    matches = (record.fullmatch(one.name) for one in folder.glob("*.json"))
    return sorted(number for match in matches if match is not None and (number := int(match[1])) > agents)
