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


async def serve_http(server: DibsServer, listening: socket.socket, closing: anyio.Event) -> None:
    """Serve clients on that socket until a signal arrives, and print the URL on standard error.

    A call that waits for work is answered as soon as `closing` is set. Raises SystemExit if `serve` returns a status.
    """
    sessions = server.http_sessions()
    sys.stderr.write(f"dibs: serving {url_of(listening)}{PATH}\n")  # the socket already queues connections
    sys.stderr.flush()
    async with sessions.run():
        status = await serve(Admission(sessions), listening, closing)
    if status:
        raise SystemExit(status)
