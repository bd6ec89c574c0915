"""URLs of databases, and the ports in them."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit


def moved(url: str, params: Mapping[str, object], database: str | None = None, port: int | None = None) -> str:
    """Return the URL with other libpq parameters, another database, or another port on this machine."""
    parts = urlsplit(url)
    path = parts.path if database is None else f"/{quote(database, safe='')}"
    at = parts.netloc if port is None else f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}".removeprefix("@")
    query = urlencode(dict(parse_qsl(parts.query)) | dict(params), quote_via=quote)
    return urlunsplit((parts.scheme, at, path, query, ""))


def free_port() -> int:
    """Return a free port outside the kernel's range for outgoing connections.

    That range begins at 32768 (macOS: 49152). A server that restarts on a port in it may find the port taken. A
    client that repeatedly calls its absent server may even be given the port that it calls, and talk to itself.
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
