"""Tasks of a connection that end cleanly when their caller is cancelled or the connection closes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds for which a cancelled caller waits for its task at most. The task continues afterwards."""


class Tasks:
    """The tasks of one connection. A task may outlive its caller, but not the connection."""

    def __init__(self) -> None:
        self._open: set[asyncio.Task[Any]] = set()
        self._must_finish: set[asyncio.Task[Any]] = set()

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`. It continues if its caller is cancelled."""
        return await self._run(work, _wait, must_finish=True)

    async def cancel(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`. It is cancelled with its caller."""

        async def stop(task: asyncio.Task[T]) -> None:
            task.cancel()
            await _wait(task)

        return await self._run(work, stop)

    async def undo(
        self, work: Coroutine[Any, Any, T], undo: Callable[[asyncio.Task[T]], Coroutine[Any, Any, None]]
    ) -> T:
        """Return the result of `work`. If its caller is cancelled, call `undo` with its task."""
        return await self._run(work, lambda task: self.briefly(undo(task)))

    async def briefly(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait up to PATIENCE seconds for `work`, which continues afterwards, even if the caller is cancelled."""
        await _wait(self._begin(work, must_finish=True))

    async def settle(self) -> None:
        """Wait up to PATIENCE seconds for the tasks that must finish."""
        if self._must_finish:
            await _wait(*self._must_finish)

    async def stop(self) -> None:
        """Cancel all tasks."""
        for task in self._open:
            task.cancel()
        if self._open:
            await _wait(*self._open)

    def _begin(self, work: Coroutine[Any, Any, T], *, must_finish: bool = False) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._open.add(task)
        if must_finish:
            self._must_finish.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._open.discard(task)
        self._must_finish.discard(task)
        if not task.cancelled():
            task.exception()  # without a caller to retrieve it, asyncio would log a complaint

    async def _run(
        self,
        work: Coroutine[Any, Any, T],
        on_cancelled: Callable[[asyncio.Task[T]], Coroutine[Any, Any, None]],
        *,
        must_finish: bool = False,
    ) -> T:
        task = self._begin(work, must_finish=must_finish)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            await on_cancelled(task)
            raise
        return task.result()


async def _wait(*tasks: asyncio.Task[Any]) -> None:
    with anyio.CancelScope(shield=True):
        await asyncio.wait(tasks, timeout=PATIENCE)
