"""How far a command is that takes a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dibs.transfer.project_copy import Watch


@contextmanager
def progress(waiting: str) -> Iterator[Watch]:
    """A bar on standard error, where that is a terminal; `waiting` is what it says at first."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(waiting, total=None)
        yield lambda what, rows, total: bar.update(task, description=what, completed=rows, total=total)
