"""How a connection lasts: in a task of its own, until its block ends, and with one error for what is asked later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from dibs.client.calls import CLOSED, Link, ServerGone
from dibs.client.tasks import Tasks

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs_schema.operations import AnyOperation


@asynccontextmanager
async def hosted(link: AbstractAsyncContextManager[Link]) -> AsyncIterator[Link]:
    """Hold a connection in a task of its own, so that its task groups neither wrap nor cancel what the caller does.

    Raises what kept it from being made.
    """
    made: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()

    async def host() -> None:
        async with link as entered:
            made.set_result(entered)
            await leave.wait()

    task = asyncio.create_task(host())
    try:
        await asyncio.wait((task, made), return_when=asyncio.FIRST_COMPLETED)
        if made.done():
            open_link = Lasting(made.result())
            try:
                yield open_link.link
            finally:
                await open_link.close()
    finally:
        leave.set()
        if not made.done():
            task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait((task,))
    if (error := task.exception()) is not None:
        raise _sole(error)


class Lasting:
    """A link until its end, and what is told after it: every call is a task, so that it can be ended from here."""

    def __init__(self, link: Link) -> None:
        self._inner = link
        self._tasks = Tasks()
        self._closed = False
        self.link = Link(self._call, self._event_log if link.event_log else None, link.renews_leases)

    async def close(self) -> None:
        """End the calls that are open; these and all later ones raise ServerGone."""
        self._closed = True
        await self._tasks.stop()

    async def _call(self, operation: AnyOperation, arguments: dict[str, Any]) -> Any:
        self._refuse_closed()
        caller = asyncio.current_task()
        assert caller is not None, "asyncio runs it"
        before = caller.cancelling()
        try:
            return await self._tasks.cancel(self._sent(operation, arguments))
        except asyncio.CancelledError:
            if caller.cancelling() == before:  # the call was cancelled, and not who waits for it
                self._refuse_closed()
            raise

    async def _sent(self, operation: AnyOperation, arguments: dict[str, Any]) -> Any:
        return await self._inner.call(operation, arguments)

    def _event_log(self) -> AbstractContextManager[Database]:
        self._refuse_closed()
        assert self._inner.event_log is not None, "else it is not asked for"
        return self._inner.event_log()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ServerGone(CLOSED)


def _sole(error: BaseException) -> BaseException:
    """The error that a task group has wrapped, if it is the only one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
