"""Processes that die: one leaves commits in a log, others restore and die before their n-th step on files.

`python -m transfer.backup.killed_restore leave DB`, `… restore BACKUP DB N [by-steps]`, or `… each SCENE FOLDER`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dibs.database import open_database
from dibs.platform import atomic_swap
from dibs.settings import Settings
from dibs.transfer import atomic_file
from transfer.backup.commands import restored
from verbs.stage import add

MOST_STEPS = 40
STEPS = ("rename", "replace", "unlink", "link")


def die() -> None:
    """End as a crash does."""
    os.kill(os.getpid(), signal.SIGKILL)


def leave(db: str) -> None:
    """Commit, and die with the commit in the log."""
    database = open_database(Settings(db=db))
    add(database, 1, name="acknowledged")
    die()
    database.close(0)  # never reached: it keeps the connection open until then


def restore(backup: str, db: str, number: int, *, at_once: bool) -> None:
    """Restore over the existing files, and die before the step with this number. With fewer steps the status is 0."""
    left = number

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                die()
            return step(*given, **named)

        return run

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    atomic_file.exchange_names = counted(atomic_swap.exchange_names)  # type: ignore[attr-defined]  # its own name for it
    if not at_once:
        atomic_swap._RENAME_EXCHANGE = 64  # an operation that no file system supports
    restored(Path(backup), db, force=True)


def restore_each(scene: str, folder: str) -> None:
    """Restore in copies of the scene, each time dying one step later, until one restore ends; print the statuses.

    Each restore runs in a fork, which has imported everything already.
    """
    statuses: list[int] = []
    while 0 not in statuses and len(statuses) < MOST_STEPS:
        copy = shutil.copytree(scene, Path(folder, str(len(statuses))))
        child = os.fork()
        if child == 0:
            restore(str(copy / "it.backup"), str(copy / "live.db"), len(statuses), at_once=True)
            os._exit(0)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(statuses))


if __name__ == "__main__":
    _, what, *rest = sys.argv
    if what == "leave":
        leave(*rest)
    elif what == "each":
        restore_each(*rest)
    else:
        restore(rest[0], rest[1], int(rest[2]), at_once=rest[3:] != ["by-steps"])
