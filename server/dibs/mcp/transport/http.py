"""Serves MCP over Streamable HTTP: one process and one database for any number of clients on this machine."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from dibs.http.listener import LOOPBACK, serve, url_of
from dibs.mcp.transport.http_admission import PATH, Admission
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    import anyio
    from starlette.types import ASGIApp, Receive, Scope, Send

    from dibs.mcp.server import DibsServer

PORT = 3427
"""D, I, B and S on the keys of a telephone."""


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


async def serve_http(
    server: DibsServer, listening: socket.socket, closing: anyio.Event, beside: ASGIApp | None = None
) -> int:
    """Serve clients on that socket until a signal arrives, and return the exit status. Print the URL on standard error.

    A call that waits for work is answered as soon as `closing` is set. Requests to other paths are for the application
    `beside`, if there is one.
    """
    sessions = server.http_sessions()
    sys.stderr.write(f"dibs: serving {url_of(listening)}{PATH}\n")  # the socket already queues connections
    sys.stderr.flush()
    clients = Admission(sessions)

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        await (clients if beside is None or scope["path"] == PATH else beside)(scope, receive, send)

    async with sessions.run():
        return await serve(either, listening, closing)
