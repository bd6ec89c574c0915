"""Serving MCP over Streamable HTTP: one process, one database, any number of clients of this machine."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import uvicorn

from dibs.mcp.transport.stdio import signals_call
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    import anyio

    from dibs.mcp.server import DibsServer

PORT = 3427
"""D, I, B and S on the keys of a telephone."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PATH = "/mcp"
BACKLOG = 1024
"""Connections that may wait to be accepted."""
CUT_OFF = 1
"""Seconds that open calls get at the end; then the streams that clients keep open are cut."""


def address(text: str) -> tuple[str, int]:
    """The host and port of PORT or HOST:PORT, an IPv6 host in brackets. Raises InvalidInput."""
    host, colon, port = text.rpartition(":")
    host = host.strip("[]") if colon else LOOPBACK[0]
    if not (port.isascii() and port.isdecimal() and int(port) < 1 << 16):
        raise InvalidInput(f"--http={text!r}: send PORT or HOST:PORT.", field="--http")
    if host not in LOOPBACK:
        raise InvalidInput(
            f"--http={text!r}: Dibs serves this machine only, since nothing proves yet who calls: {', '.join(LOOPBACK)}.",
            field="--http",
        )
    return host, int(port)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; 0 takes any free port. Raises InvalidInput where the address cannot be had."""
    # The event loop turns off Nagle's algorithm for sockets that say they are TCP's; with it each answer takes 40 ms.
    listening = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise InvalidInput(
            f"--http: nothing can listen at {host}:{port}: {error.strerror}. Another port may be free; 0 takes one that is.",
            field="--http",
        ) from error
    return listening


async def serve_http(server: DibsServer, listening: socket.socket, closing: anyio.Event) -> None:
    """Serve clients on that socket until a signal comes, and say on standard error where.

    A call that waits for work is answered as soon as `closing` is set; what is open CUT_OFF seconds later is cut.
    """
    host, port = listening.getsockname()[:2]
    app = server.streamable_http_app(streamable_http_path=PATH, host=host)
    config = uvicorn.Config(
        app,
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=CUT_OFF,
    )
    shown = f"[{host}]" if ":" in host else host
    sys.stderr.write(f"dibs: serving http://{shown}:{port}{PATH}\n")  # its clients wait in the backlog by now
    sys.stderr.flush()
    await _Listener(config, closing).serve(sockets=[listening])


class _Listener(uvicorn.Server):
    """Ends by the event loop's own signals, so that the lifespan ends too, and the exit status is 0."""

    def __init__(self, config: uvicorn.Config, closing: anyio.Event) -> None:
        super().__init__(config)
        self._closing = closing

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        with signals_call(self._end):
            yield

    def _end(self) -> None:
        self._closing.set()
        self.should_exit = True
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what is cut now is cut on purpose
