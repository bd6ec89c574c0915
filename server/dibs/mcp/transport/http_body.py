"""Receives the bodies of HTTP requests, within limits for their size, their total size, and their time."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import anyio
import mcp_types as types
from starlette.requests import ClientDisconnect

from dibs.mcp.transport import LONGEST_MESSAGE

if TYPE_CHECKING:
    from starlette.types import Message, Receive

BODY_SECONDS: Final = 20.0
"""Seconds within which the whole body of a request must arrive."""
MOST_IN_FLIGHT: Final = 2 * LONGEST_MESSAGE
"""Bytes that the bodies of all open requests may have together, without the small ones."""
SMALL: Final = 64 << 10
"""Bytes of a body that do not count, so that a few long bodies never keep out the many short ones."""


class Refused(Exception):  # noqa: N818 - it describes the request
    """A request is refused with an HTTP status and words that name the limit."""

    def __init__(self, status: HTTPStatus, words: str, code: int = types.INVALID_REQUEST, **headers: str) -> None:
        super().__init__(words)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = error_answer(words, code)


def error_answer(words: str, code: int = types.INVALID_REQUEST) -> types.JSONRPCError:
    """Return the JSON-RPC error that carries these words."""
    return types.JSONRPCError(jsonrpc="2.0", id=None, error=types.ErrorData(code=code, message=words))


class Bodies:
    """The bytes of all bodies that are being received or handled."""

    def __init__(self) -> None:
        self._in_flight = 0

    def take(self, size: int) -> None:
        """Count bytes of a body. Raises Refused if there are too many at once."""
        if self._in_flight + size > MOST_IN_FLIGHT:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"The messages that are being received have more than {MOST_IN_FLIGHT >> 20} MiB together. "
                "Send this one again later.",
                types.INTERNAL_ERROR,
                retry_after="1",
            )
        self._in_flight += size

    def give_back(self, size: int) -> None:
        """Stop counting bytes of a body."""
        self._in_flight -= size


class Body:
    """The body of one request, while it is received and as long as it is needed."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._taken = 0
        self.text = b""

    async def read(self, receive: Receive) -> None:
        """Receive the whole body. Raises Refused if it is too long or too slow, and ClientDisconnect if it ends early."""
        try:
            with anyio.fail_after(BODY_SECONDS):
                self.text = await self._parts(receive)
        except TimeoutError:
            words = f"A request's body must arrive within {BODY_SECONDS:g} s."
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, words) from None

    async def _parts(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > LONGEST_MESSAGE:
                raise too_long()
            self._take(size)
            more = message.get("more_body", False)
        return b"".join(parts)

    def _take(self, size: int) -> None:
        counted = max(0, size - SMALL)
        self._bodies.take(counted - self._taken)
        self._taken = counted

    def then(self, receive: Receive) -> Receive:
        """Return the function that receives this body first, and then what comes from the client."""
        text: bytes | None = self.text
        self.text = b""

        async def receive_body() -> Message:
            nonlocal text
            if text is None:
                return await receive()
            whole, text = text, None
            return {"type": "http.request", "body": whole, "more_body": False}

        return receive_body

    def release(self) -> None:
        """Stop counting the body."""
        self._bodies.give_back(self._taken)


def too_long() -> Refused:
    """Return the refusal of a message that is longer than any transport accepts."""
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"A message may be at most {LONGEST_MESSAGE >> 20} MiB long. Send it in parts.",
    )
