"""How a connection lasts: in a task of its own, until its block ends, and with one error for what is asked later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from dibs.client.calls import CLOSED, ServerGone, Wire
from dibs.client.tasks import Tasks

if TYPE_CHECKING:
    from mcp.types import CallToolResult

    from dibs.database import Database


@asynccontextmanager
async def hosted(wire: AbstractAsyncContextManager[Wire]) -> AsyncIterator[Wire]:
    """Hold a connection in a task of its own, so that its task groups neither wrap nor cancel what the caller does.

    Raises what kept it from being made.
    """
    made: asyncio.Future[Wire] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()

    async def host() -> None:
        async with wire as entered:
            made.set_result(entered)
            await leave.wait()

    task = asyncio.create_task(host())
    try:
        await asyncio.wait((task, made), return_when=asyncio.FIRST_COMPLETED)
        if made.done():
            open_wire = Lasting(made.result())
            try:
                yield open_wire.wire
            finally:
                await open_wire.close()
    finally:
        leave.set()
        if not made.done():
            task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait((task,))
    if (error := task.exception()) is not None:
        raise _sole(error)


class Lasting:
    """A wire until its end, and what is told after it: every call is a task, so that it can be ended from here."""

    def __init__(self, wire: Wire) -> None:
        self._inner = wire
        self._tasks = Tasks()
        self._closed = False
        self.wire = Wire(self._call, self._journal if wire.journal else None, wire.keeps_claims)

    async def close(self) -> None:
        """End the calls that are open; these and all later ones raise ServerGone."""
        self._closed = True
        await self._tasks.stop()

    async def _call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        self._refuse_closed()
        caller = asyncio.current_task()
        assert caller is not None, "asyncio runs it"
        before = caller.cancelling()
        try:
            return await self._tasks.cancel(self._sent(tool, arguments))
        except asyncio.CancelledError:
            if caller.cancelling() == before:  # the call was cancelled, and not who waits for it
                self._refuse_closed()
            raise

    async def _sent(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        return await self._inner.call(tool, arguments)

    def _journal(self) -> AbstractContextManager[Database]:
        self._refuse_closed()
        assert self._inner.journal is not None, "else it is not asked for"
        return self._inner.journal()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ServerGone(CLOSED)


def _sole(error: BaseException) -> BaseException:
    """The error that a task group has wrapped, if it is the only one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
