"""Runs a connection in its own task until its block ends. Later calls raise ServerGone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio

from dibs.client.calls import CLOSED, Link, ServerGone
from dibs.client.tasks import Tasks

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs_schema.operations import AnyOperation


@asynccontextmanager
async def in_own_task(link: AbstractAsyncContextManager[Link]) -> AsyncIterator[Link]:
    """Open a connection in its own task, so that its task groups neither wrap nor cancel the caller's code.

    Raises the error that prevented the connection.
    """
    opened: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
    ending = asyncio.Event()

    async def host() -> None:
        async with link as entered:
            opened.set_result(entered)
            await ending.wait()

    task = asyncio.create_task(host())
    try:
        await asyncio.wait((task, opened), return_when=asyncio.FIRST_COMPLETED)
        if opened.done():
            closable = ClosableLink(opened.result())
            try:
                yield closable.link
            finally:
                await closable.close()
    finally:
        ending.set()
        if not opened.done():
            task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait((task,))
    if (error := task.exception()) is not None:
        raise _unwrapped(error)


class ClosableLink:
    """A link that can be closed. Each call is a task, so that closing can cancel it."""

    def __init__(self, link: Link) -> None:
        self._inner = link
        self._tasks = Tasks()
        self._closed = False
        self.link = replace(link, call=self._call, event_log=self._event_log if link.event_log else None)

    async def close(self) -> None:
        """Cancel the open calls. These and all later ones raise ServerGone."""
        self._closed = True
        await self._tasks.stop()

    async def _call(self, operation: AnyOperation, arguments: dict[str, Any]) -> Any:
        self._refuse_closed()
        caller = asyncio.current_task()
        assert caller is not None, "asyncio runs it"
        before = caller.cancelling()
        try:
            return await self._tasks.cancel(self._inner.call(operation, arguments))
        except asyncio.CancelledError:
            if caller.cancelling() == before:  # the call was cancelled, and not its caller
                self._refuse_closed()
            raise

    def _event_log(self) -> AbstractContextManager[Database]:
        self._refuse_closed()
        assert self._inner.event_log is not None, "the link offers it only then"
        return self._inner.event_log()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ServerGone(CLOSED)


def _unwrapped(error: BaseException) -> BaseException:
    """Return the only error in an exception group, or the error itself."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
