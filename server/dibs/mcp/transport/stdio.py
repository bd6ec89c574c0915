"""Serves MCP over standard input and output."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from dibs.end_signals import signals_call

if TYPE_CHECKING:
    import anyio
    from mcp.server.lowlevel import Server

GRACE: Final = 60.0
"""Seconds that open requests get after the end of input, after which clients give up on a call too."""

HURRY: Final = 0.2
"""Seconds that open requests get after a signal, and that a slow client gets to read the last bytes."""


async def serve_stdio(server: Server[Any], *, closing: anyio.Event, grace: float = GRACE, hurry: float = HURRY) -> None:
    """Serve one client on standard input and output until its input ends, it goes away, or a signal arrives.

    Every request that was read is answered before the end. `closing` is set when the input ends, so that handlers that
    wait can finish early. Requests still open after `grace` seconds are cancelled; after a signal they get
    `hurry` seconds, and if the client has stopped reading, none. Output of `print` goes to standard error.

    Raises what the server's lifespan raises. Runs on asyncio, in the main thread.
    """
    import anyio

    from dibs.mcp.transport import LONGEST_MESSAGE
    from dibs.mcp.transport.jsonrpc_streams import MessageReader, MessageWriter, OpenRequests
    from dibs.platform.standard_streams import LineReader, LineWriter, private_stdio

    with (
        private_stdio() as (input_fd, output_fd),
        contextlib.closing(LineReader(input_fd, LONGEST_MESSAGE)) as lines_in,
        contextlib.closing(LineWriter(output_fd)) as lines_out,
    ):
        requests = OpenRequests()
        reader = MessageReader(lines_in, lines_out, requests, closing, grace)
        writer = MessageWriter(lines_out, requests, closing)
        with signals_call(partial(reader.end, within=hurry)):
            await server.run(reader, writer, server.create_initialization_options())
            with anyio.move_on_after(hurry):
                await lines_out.drained()
