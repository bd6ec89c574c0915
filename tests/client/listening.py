"""The server behind a URL, in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from dibs.database import open_database
from dibs.mcp.server import DibsServer
from dibs.rules.claimant import new_session
from dibs.settings import Settings


@contextmanager
def served(db: str, port: int = 0, **options: Any) -> Iterator[str]:
    """The URL at which the protocol library's own application serves a backlog."""
    settings = Settings.read({"db": db, **options})
    server = DibsServer(open_database(settings), settings, new_session())
    with socket.create_server(("127.0.0.1", port)) as one:
        app = server.streamable_http_app()
        listener = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=listener.run, kwargs={"sockets": [one]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{one.getsockname()[1]}/mcp"
        finally:
            listener.should_exit = True
            thread.join()
