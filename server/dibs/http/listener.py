"""Serves HTTP: the socket, the signals that end the server, and its end if the system accepts no connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from dibs.end_signals import signals_call
from dibs.http.connections import HEADER_SECONDS, LONGEST_HEADERS, Connection, Connections, most_connections
from dibs.http.tls import protocol_with
from dibs.platform.sockets import keep_port
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    import anyio
    from starlette.types import ASGIApp

LOOPBACK = ("127.0.0.1", "localhost", "::1")
QUEUE: Final = 1024
"""Connections that may wait to be accepted."""
ACCEPTED_AT_ONCE: Final = 8
"""Connections that are accepted before the first of them is counted: few, since each takes an open file."""
PATIENCE: Final = 10.0
"""Seconds after which a server that can accept no connection ends."""
LATEST: Final = 8.0
"""Seconds after a signal within which the process ends, whatever is still open."""


logger = logging.getLogger(__name__)


def listen(host: str, port: int, option: str) -> socket.socket:
    """Return a listening socket; port 0 takes any free port.

    Raises InvalidInput, which names the `option` that gave the port, if the address is not available.
    """
    # asyncio turns off Nagle's algorithm only for sockets made with IPPROTO_TCP; with it each answer takes 40 ms.
    listening = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )
    try:
        keep_port(listening)
        listening.bind((host, port))
        listening.listen(QUEUE)
    except OSError as error:
        listening.close()
        raise InvalidInput(
            f"{option}: cannot listen at {host}:{port}: {error.strerror}. Send another port; 0 takes any free one.",
            field=option,
        ) from error
    return listening


def url_of(listening: socket.socket, scheme: str = "http") -> str:
    """Return the URL of a listening socket, without a path."""
    host, port = listening.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


async def serve(app: ASGIApp, listening: socket.socket, closing: anyio.Event, tls: ssl.SSLContext | None = None) -> int:
    """Serve an application on that socket until a signal arrives, which sets `closing`, and return the exit status.

    Connections that are still open one second later are closed, and the process ends within LATEST seconds. The status
    is 1 if the server ended because the system had accepted no connection for PATIENCE seconds.
    """
    config = uvicorn.Config(
        app,
        http=Connection,
        h11_max_incomplete_event_size=LONGEST_HEADERS,
        timeout_keep_alive=HEADER_SECONDS,
        backlog=ACCEPTED_AT_ONCE,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # uvicorn would believe those of this machine
        timeout_graceful_shutdown=1,
    )
    listener = _Listener(config, closing, tls)
    await listener.serve(sockets=[listening])
    return int(listener.is_broken)


class _Listener(uvicorn.Server):
    """Ends by the event loop's signal handlers, so that the lifespan ends too, and the exit status is 0.

    It also ends if the system accepts no connection for too long; then it is broken.
    """

    is_broken = False

    def __init__(self, config: uvicorn.Config, closing: anyio.Event, tls: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._tls = tls
        self.server_state = self._connections = Connections(most_connections())
        self._closing = closing
        self._last_accepted: int | None = None
        self._refused_since = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections. asyncio takes the number that it accepts at once for the queue's length, too."""
        if self._tls is not None:
            self.config.http_protocol_class = protocol_with(self._tls, Connection, HEADER_SECONDS)  # type: ignore[assignment]  # it makes protocols
        await super().startup(sockets)
        for one in sockets or ():
            one.listen(QUEUE)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        asyncio.get_running_loop().set_exception_handler(self._handle_exception)
        with signals_call(self._end):
            yield

    def _handle_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an exception in the event loop. If it has accepted no connection for too long, end.

        The event loop tries to accept again every second, and calls this for each failure.
        """
        if not context["message"].startswith("socket.accept()"):
            loop.default_exception_handler(context)
            return
        now = loop.time()
        if self._connections.accepted != self._last_accepted:
            self._last_accepted, self._refused_since = self._connections.accepted, now
            logger.error("connections cannot be accepted: %s", context["exception"])
        elif now - self._refused_since > PATIENCE and not self.is_broken:
            logger.error("no connection could be accepted for %g s: the server ends", PATIENCE)
            self.is_broken = True
            self._end()

    def _end(self) -> None:
        self._closing.set()
        self.should_exit = True
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # connections are cut on purpose now
        late = threading.Timer(LATEST, self._end_at_once)
        late.daemon = True
        late.start()

    def _end_at_once(self) -> None:
        """End without clean-up, which nobody needs: what was acknowledged is on disk."""
        logger.warning("the server had not ended after %g s, and ends without clean-up", LATEST)
        os._exit(int(self.is_broken))
