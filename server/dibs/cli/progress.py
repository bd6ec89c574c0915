"""The progress bar of commands that may take long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dibs.transfer.project_rows import Progress


@contextmanager
def progress_bar(first: str) -> Iterator[Progress]:
    """Show a bar on standard error if that is a terminal; `first` is its first description."""
    from rich import progress as rich_progress
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(first, total=None)
        yield lambda what, rows, total: bar.update(task, description=what, completed=rows, total=total)
