"""Tasks that end cleanly: with their caller, with their connection, and never half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds that a caller who was cancelled waits, at most, for what must not be left half done. That goes on behind him."""


class Tasks:
    """What was begun over one connection: it may outlive the caller who waits for it, but not the connection."""

    def __init__(self) -> None:
        self._open: set[asyncio.Task[Any]] = set()
        self._ending: set[asyncio.Task[Any]] = set()

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` brings. It is done also where its caller is cancelled meanwhile."""
        return await self._kept(work, _patiently, ending=True)

    async def cancel(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` brings. It is cancelled with its caller, who is told that alone, whatever it ends as."""

        async def stop(task: asyncio.Task[T]) -> None:
            task.cancel()
            await _patiently(task)

        return await self._kept(work, stop)

    async def undo(
        self,
        work: Coroutine[Any, Any, T],
        undone: Callable[[asyncio.Task[T]], Coroutine[Any, Any, None]],
    ) -> T:
        """What `work` brings; or, where its caller is cancelled meanwhile, have its task `undone`."""
        return await self._kept(work, lambda task: self.briefly(undone(task)))

    async def briefly(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait a short while for `work`, which is done in any case; also where the caller was cancelled."""
        await _patiently(self._begin(work, ending=True))

    async def settle(self) -> None:
        """Wait a short while for what must not be left half done."""
        if self._ending:
            await _patiently(*self._ending)

    async def stop(self) -> None:
        """Cancel all that is still going on."""
        for task in self._open:
            task.cancel()
        if self._open:
            await _patiently(*self._open)

    def _begin(self, work: Coroutine[Any, Any, T], *, ending: bool = False) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        for kept in (self._open, self._ending)[: 1 + ending]:
            kept.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._open.discard(task)
        self._ending.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may have gone, and asyncio would complain that nobody asked

    async def _kept(
        self,
        work: Coroutine[Any, Any, T],
        abandoned: Callable[[asyncio.Task[T]], Coroutine[Any, Any, None]],
        *,
        ending: bool = False,
    ) -> T:
        task = self._begin(work, ending=ending)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            await abandoned(task)
            raise
        return task.result()


async def _patiently(*tasks: asyncio.Task[Any]) -> None:
    with anyio.CancelScope(shield=True):
        await asyncio.wait(tasks, timeout=PATIENCE)
