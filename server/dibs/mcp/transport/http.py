"""Serves MCP over Streamable HTTP: one process and one database for any number of clients."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from dibs.http.listener import LOOPBACK, serve, url_of
from dibs.mcp.transport.http_admission import PATH, Admission
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from dibs.http.authentication import Authentication
    from dibs.http.exposure import Exposure
    from dibs.mcp.transport.http_servers import Servers

PORT = 3427
"""D, I, B and S on the keys of a telephone."""


def address(text: str) -> tuple[str, int]:
    """Parse PORT or HOST:PORT, with an IPv6 host in brackets. Raises InvalidInput."""
    host, colon, port = text.rpartition(":")
    host = host.strip("[]") if colon else LOOPBACK[0]
    if not (port.isascii() and port.isdecimal() and int(port) < 1 << 16):
        raise InvalidInput(f"--http={text!r}: send PORT or HOST:PORT.", field="--http")
    return host, int(port)


async def serve_http(
    servers: Servers,
    listening: socket.socket,
    exposure: Exposure,
    authentication: Authentication | None,
    beside: ASGIApp | None = None,
) -> int:
    """Serve clients on that socket until a signal arrives, and return the exit status. Print the URL on standard error.

    Without `authentication` nobody is asked who they are. A call that waits for work is answered as soon as the servers
    are closing. Requests to other paths go to the application `beside`, if there is one.
    """
    url = url_of(listening, "http" if exposure.tls is None else "https")
    if exposure.public is not None:
        url = "://".join(exposure.public)
    asked = "" if authentication is None else "dibs: each request needs an access token (dibs token create)\n"
    sys.stderr.write(f"dibs: serving {url}{PATH}\n{asked}")  # the socket already queues connections
    sys.stderr.flush()
    clients = Admission(servers, exposure, authentication)

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        await (clients if beside is None or scope["path"] == PATH else beside)(scope, receive, send)

    async with servers.run():
        return await serve(exposure.before(either), listening, servers.closing, exposure.tls)
