"""URLs of databases, and the ports in them."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit


def moved(url: str, params: Mapping[str, object], database: str | None = None, port: int | None = None) -> str:
    """The same URL, but for parameters as libpq knows them, the database, or the port on this machine."""
    parts = urlsplit(url)
    path = parts.path if database is None else f"/{quote(database, safe='')}"
    at = parts.netloc if port is None else f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}".removeprefix("@")
    query = urlencode(dict(parse_qsl(parts.query)) | dict(params), quote_via=quote)
    return urlunsplit((parts.scheme, at, path, query, ""))


def free_port() -> int:
    """A free port outside the kernel's range for outgoing connections.

    It gives outgoing connections a port from 32768 up (macOS: 49152). A server that comes back to a port up
    there may find it taken; worse, a client that calls its absent server on and on may be given the very
    port that it calls, and talk to itself.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        with closing(socket.socket()) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
