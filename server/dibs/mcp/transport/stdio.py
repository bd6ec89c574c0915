"""Serving MCP over standard input and output: from the first signal to the last answer.

The module is light to import, so that `install_early_exit` can come before everything that is not.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import anyio
    from mcp.server.lowlevel import Server

GRACE: Final = 60.0
"""Seconds that open requests get after the end of input; clients give up on a call after as long."""

HURRY: Final = 0.2
"""Seconds that open requests get after a signal, and that a slow client gets to read the last bytes."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def install_early_exit() -> None:
    """Make SIGTERM and SIGINT end the process at once with status 0, until `serve_stdio` takes them over.

    Raises ValueError outside the main thread.
    """
    for number in _SIGNALS:
        signal.signal(number, _exit_at_once)


def _exit_at_once(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)  # nothing has begun that would want to be cleaned up


async def serve_stdio(server: Server[Any], *, closing: anyio.Event, grace: float = GRACE, hurry: float = HURRY) -> None:
    """Serve one client on standard input and output until its input ends, it goes away, or a signal comes.

    Every request that was read is answered before the end: `closing` is set as soon as the end is
    known, so that a handler that waits can finish early, and what is still open after `grace` seconds
    is cancelled. SIGTERM and SIGINT leave it `hurry` seconds instead; a client that no longer reads,
    none. Whatever is printed meanwhile goes to standard error.

    Raises what the server's lifespan raises. Runs on asyncio, in the main thread.
    """
    if sys.platform == "win32":  # an event loop there cannot wait for a pipe it did not make
        from mcp.server.stdio import stdio_server

        async with stdio_server() as (read_stream, write_stream):
            await server.run(read_stream, write_stream, server.create_initialization_options())
        closing.set()
        return

    import anyio

    from dibs.mcp.transport.jsonrpc_streams import MessageReader, MessageWriter, OpenRequests
    from dibs.mcp.transport.line_io import LineReader, LineWriter, private_wire

    with (
        private_wire() as (wire_in, wire_out),
        contextlib.closing(LineReader(wire_in)) as lines_in,
        contextlib.closing(LineWriter(wire_out)) as lines_out,
    ):
        requests = OpenRequests()
        reader = MessageReader(lines_in, lines_out, requests, closing, grace)
        writer = MessageWriter(lines_out, requests, closing)
        with signals_call(partial(reader.end, within=hurry)):
            await server.run(reader, writer, server.create_initialization_options())
            with anyio.move_on_after(hurry):
                await lines_out.drained()


@contextlib.contextmanager
def signals_call(end: Callable[[], None]) -> Iterator[None]:
    """Have the event loop call `end`, on its next turn, for each signal that would end the process.

    The loop's own hook rather than a task around anyio's receiver, which uses the same hook: a task
    group would wrap what the lifespan raises in an ExceptionGroup.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
