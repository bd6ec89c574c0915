"""TLS handshakes: an unfinished one counts as a connection, and has little time."""

from __future__ import annotations

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from dibs.http.connections import READ_AT_ONCE

if TYPE_CHECKING:
    from dibs.http.connections import Connection

SHUTDOWN_SECONDS: Final = 2.0
"""Seconds for which the server waits until a client answers the end of TLS."""


class Handshake(asyncio.Protocol):
    """A new TCP connection, which becomes a Connection when its TLS handshake is done.

    asyncio's own servers count and limit only connections whose handshake is done, and wait 60 s for it.
    """

    def __init__(self, connection: Connection, context: ssl.SSLContext, seconds: float) -> None:
        self._connection = connection
        self._context = context
        self._seconds = seconds
        self._early = b""
        self._task: asyncio.Task[None] | None = None  # the event loop does not keep it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        plain = cast("asyncio.Transport", transport)
        self._connection.server_state.begin_handshake(plain)
        self._task = asyncio.get_running_loop().create_task(self._shake_hands(plain))

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            if transport.is_closing():  # it was ended to make room; its handshake would wait for ever
                return
            encrypted = await loop.start_tls(
                transport,
                self,
                self._context,
                server_side=True,
                ssl_handshake_timeout=self._seconds,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        except (OSError, ssl.SSLError):  # a client without TLS, or with another one, or one that has left
            transport.abort()
            return
        finally:
            self._connection.server_state.end_handshake(transport)
        if encrypted is None or encrypted.is_closing():
            return
        encrypted.set_protocol(self._connection)
        self._connection.connection_made(encrypted)
        if self._early:
            self._connection.data_received(self._early)

    def data_received(self, data: bytes) -> None:
        """Keep what arrives together with the end of the handshake."""
        self._early += data


def protocol_with(
    context: ssl.SSLContext, connection: Callable[..., Connection], seconds: float
) -> Callable[..., Handshake]:
    """Return what makes the protocol of a new TCP connection, in the place of `connection`."""
    SSLProtocol.max_size = READ_AT_ONCE  # asyncio's own is 256 KiB for each connection, and has no option

    def make(**more: object) -> Handshake:
        return Handshake(connection(**more), context, seconds)

    return make
