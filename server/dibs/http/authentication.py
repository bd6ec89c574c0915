"""Who sends an HTTP request: the access token in its headers, whom it proves, and how often it may call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote_to_bytes

from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

if TYPE_CHECKING:
    from starlette.types import Scope

    from dibs.session.principal import Principal

RATE: Final = "6000/minute"
"""How often one access token may call, by default, in the notation of `limits`."""
LONGEST_CREDENTIAL: Final = 8 << 10
"""Bytes of the longest Authorization header that is looked at: tokens of identity providers have up to some KiB."""
HOW: Final = "Send an access token as `Authorization: Bearer …`. `dibs token create` makes one."

_IN_URL = re.compile(rb"access_token=|\bdibs_[0-9A-Za-z]{20}", re.IGNORECASE)
_BEARER = re.compile(rb"bearer +([A-Za-z0-9\-._~+/]+=*) *", re.IGNORECASE)
"""RFC 6750, section 2.1. The name of the scheme is case-insensitive (RFC 9110, section 11.1)."""


class Denied(Exception):  # noqa: N818 - it describes the request
    """A request is denied before its body is read, with an HTTP status, words for its client, and headers."""

    def __init__(self, status: HTTPStatus, words: str, headers: dict[str, str]) -> None:
        super().__init__(words)
        self.status = status
        self.headers = headers


class Verifier(Protocol):
    """Knows whom a credential proves."""

    async def verify(self, credential: str, address: str) -> Principal | None:
        """Return whom the credential proves, or None. `address` is the client's; the work for each address is limited.

        Raises Denied if the credential cannot be checked now.
        """


class Authentication:
    """Proves who sends each request of one path, and counts its requests. `rate` is how many each principal may send."""

    def __init__(self, verifier: Verifier, rate: str = RATE) -> None:
        self._verifier = verifier
        self._rate = parse(rate)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def principal(self, scope: Scope) -> Principal:
        """Return who sends a request. Raises Denied if nobody is proven, or if they have sent too many requests."""
        principal = await self.proven(scope)
        key = (principal.issuer or "", principal.project, principal.name)
        if not await self._limiter.hit(self._rate, *key):
            words = f"{principal.name!r} has sent more than {self._rate}. Send this one again later."
            raise Denied(HTTPStatus.TOO_MANY_REQUESTS, words, {"retry-after": await self._retry_after(*key)})
        return principal

    async def proven(self, scope: Scope) -> Principal:
        """Return who sends a request, without counting it. Raises Denied if nobody is proven."""
        client = scope.get("client")
        principal = await self._verifier.verify(credential_of(scope["headers"]), client[0] if client else "")
        if principal is None:
            words = f"The access token is unknown, expired or revoked. {HOW}"
            raise _unauthorized(words, 'error="invalid_token"')
        return principal

    async def _retry_after(self, *key: str) -> str:
        """Return in how many seconds about a tenth of the rate is free again."""
        _, left = await self._limiter.get_window_stats(self._rate, *key)
        return str(max(1, self._rate.get_expiry() // 10) if left <= 0 else 1)


def credential_of(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Return the bearer token of a request's headers. Raises Denied if there is none, or more than one."""
    found = [value for name, value in headers if name == b"authorization"]
    if not found:
        raise _unauthorized(HOW)
    if len(found) > 1:
        words = "The request has more than one Authorization header."
        raise Denied(HTTPStatus.BAD_REQUEST, words, {"www-authenticate": 'Bearer error="invalid_request"'})
    bearer = _BEARER.fullmatch(found[0]) if len(found[0]) <= LONGEST_CREDENTIAL else None
    if bearer is None:
        raise _unauthorized(f"The Authorization header is not that of a bearer token. {HOW}", 'error="invalid_token"')
    return bearer[1].decode("ascii")


def refuse_token_in_url(scope: Scope) -> None:
    """Raise Denied if a request's URL holds what may be an access token: proxies and browsers keep URLs."""
    url = scope.get("raw_path", b"") + b"?" + scope["query_string"]
    if _IN_URL.search(url) or _IN_URL.search(unquote_to_bytes(url)):
        words = (
            "An access token does not belong in a URL, which logs and histories keep. Revoke it (`dibs token revoke`), "
            "and send a new one in the Authorization header."
        )
        raise Denied(HTTPStatus.BAD_REQUEST, words, {})


def _unauthorized(words: str, detail: str = "") -> Denied:
    challenge = f'Bearer realm="dibs"{", " if detail else ""}{detail}'
    return Denied(HTTPStatus.UNAUTHORIZED, words, {"www-authenticate": challenge})
