"""Serves MCP over Streamable HTTP: one process and one database for any number of clients on this machine."""

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


def address(text: str) -> tuple[str, int]:
    """Parse PORT or HOST:PORT, with an IPv6 host in brackets. Raises InvalidInput."""
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
    """Return a listening socket; port 0 takes any free port. Raises InvalidInput if the address is not available."""
    # asyncio turns off Nagle's algorithm only for sockets made with IPPROTO_TCP; with it each answer takes 40 ms.
    listening = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise InvalidInput(
            f"--http: cannot listen at {host}:{port}: {error.strerror}. Send another port; 0 takes any free one.",
            field="--http",
        ) from error
    return listening


async def serve_http(server: DibsServer, listening: socket.socket, closing: anyio.Event) -> None:
    """Serve clients on that socket until a signal arrives, and print the URL on standard error.

    A call that waits for work is answered as soon as `closing` is set. Connections that are still open one second
    later are closed.
    """
    host, port = listening.getsockname()[:2]
    app = server.streamable_http_app(streamable_http_path=PATH, host=host)
    config = uvicorn.Config(
        app, lifespan="on", ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    shown = f"[{host}]" if ":" in host else host
    sys.stderr.write(f"dibs: serving http://{shown}:{port}{PATH}\n")  # the socket already queues connections
    sys.stderr.flush()
    await _Listener(config, closing).serve(sockets=[listening])


class _Listener(uvicorn.Server):
    """Ends by the event loop's signal handlers, so that the lifespan ends too, and the exit status is 0."""

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
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # connections are cut on purpose now
