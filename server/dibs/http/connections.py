"""The connections of an HTTP server: how many there may be, and for how long each may keep the server waiting."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Final, cast

import h11
from starlette.responses import PlainTextResponse
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from dibs.platform.open_files import raise_file_limit

logger = logging.getLogger(__name__)

MOST_CONNECTIONS: Final = 1_000
"""Connections that may be open at once, if the process may have so many files open."""
RESERVED_FILES: Final = 96
"""Open files that are left for the database and the rest of the process."""
HEADER_SECONDS: Final = 10
"""Seconds within which the headers of a request must arrive, from the connection or from the previous answer on."""
READ_AT_ONCE: Final = 32 << 10
"""Bytes that are read from a connection at once, and of which its buffers are multiples."""
READING_SECONDS: Final = 30.0
"""Seconds for which a client may leave an answer unread while the next bytes of it wait."""
LONGEST_HEADERS: Final = 64 << 10
"""Bytes of the longest headers of a request."""
TOO_LONG_HEADERS: Final = f"The headers of a request may be at most {LONGEST_HEADERS >> 10} KiB long."


def most_connections() -> int:
    """Return how many connections this process can serve. Its limit of open files is raised as far as the system permits."""
    files = raise_file_limit()
    return MOST_CONNECTIONS if files is None else max(1, min(MOST_CONNECTIONS, files - RESERVED_FILES))


class Connections(ServerState):
    """The open connections of a server: at most `limit`, unfinished handshakes included.

    `accepted` grows with each accepted connection.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.accepted = 0
        self.handshakes: dict[asyncio.Transport, None] = {}

    def begin_handshake(self, transport: asyncio.Transport) -> None:
        """Count a TLS handshake. If there are too many connections, the one that has been idle for longest ends.

        The oldest handshake ends instead if handshakes have a quarter of the places, or if no connection is idle. If
        there is neither, this one goes on, so that it can be answered.
        """
        self.accepted += 1
        if len(self.connections) + len(self.handshakes) >= self.limit and (
            len(self.handshakes) > self.limit // 4 or not self.end_idle()
        ):
            oldest = next(iter(self.handshakes), None)
            if oldest is not None:
                del self.handshakes[oldest]
                oldest.abort()
        self.handshakes[transport] = None

    def end_idle(self, but: Connection | None = None) -> bool:
        """End the connection that has been idle for longest, and return whether there was one. `but` is left alone."""
        idle = [one for one in self.connections if isinstance(one, Connection) and one.is_idle and one is not but]
        if idle:
            first = min(idle, key=Connection.idle_until)
            first.timeout_keep_alive_handler()
            if first.transport.get_extra_info("ssl_object") is not None:
                first.transport.abort()  # its client may never answer the end of TLS
            self.connections.discard(first)
        return bool(idle)

    def end_handshake(self, transport: asyncio.Transport) -> None:
        """Stop counting a TLS handshake."""
        self.handshakes.pop(transport, None)


class Connection(H11Protocol):
    """One connection. uvicorn's timer between two requests also limits the time for the headers of each request."""

    server_state: Connections
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept a connection. If there are too many, the longest idle connection ends, or else this one."""
        super().connection_made(cast("asyncio.Transport", transport))
        self.transport.max_size = READ_AT_ONCE  # type: ignore[attr-defined]  # asyncio's, which h11 keeps allocated
        self.timeout_keep_alive_task = self.loop.call_later(HEADER_SECONDS, self.timeout_keep_alive_handler)
        self.server_state.accepted += 1
        limit = self.server_state.limit
        if len(self.connections) <= limit:
            return
        self.server_state.end_idle(but=self)
        if len(self.connections) > limit:
            words = f"{limit} connections are open, and all are in use. Close one, or try again later."
            logger.warning("a connection is refused: %s", words)
            headers = {"connection": "close", "retry-after": "10"}
            self.app = PlainTextResponse(words, HTTPStatus.SERVICE_UNAVAILABLE, headers)  # for its first request

    @property
    def is_idle(self) -> bool:
        """Whether no request is being served."""
        return self.cycle is None or self.cycle.response_complete

    def idle_until(self) -> float:
        """Return when the next request's headers must have arrived, in the event loop's time."""
        assert self.timeout_keep_alive_task is not None, "it runs on every idle connection"
        return self.timeout_keep_alive_task.when()

    def data_received(self, data: bytes) -> None:
        """Handle bytes from the client. The timer stops when the headers are complete, and not at their first byte."""
        self.conn.receive_data(data)
        self.handle_events()

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, and say why if it has sent a part of its headers."""
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            words = f"The headers of a request must arrive within {HEADER_SECONDS} s."
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, words)
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are not HTTP, or headers that are too long."""
        if len(self.conn.trailing_data[0]) > LONGEST_HEADERS:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, TOO_LONG_HEADERS)
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _refuse(self, status: HTTPStatus, words: str) -> None:
        logger.warning("a request was refused: %s", words)
        headers = [("content-type", "text/plain"), ("content-length", str(len(words))), ("connection", "close")]
        for event in (
            h11.Response(status_code=status, headers=headers, reason=status.phrase.encode()),
            h11.Data(data=words.encode("ascii")),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def pause_writing(self) -> None:
        """Wait until the client reads, but not forever."""
        super().pause_writing()
        self._unread = self.loop.call_later(READING_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Continue to write to a client that reads again."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
