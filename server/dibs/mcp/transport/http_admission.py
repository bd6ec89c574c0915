"""Decides which HTTP requests reach the server: by host, path, principal, time and limits."""

from __future__ import annotations

import asyncio
import logging
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import anyio
import mcp_types as types
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from dibs.http.access_tokens import REMEMBERED_SECONDS
from dibs.http.authentication import Authentication, Denied, refuse_token_in_url
from dibs.http.connections import LONGEST_HEADERS, TOO_LONG_HEADERS
from dibs.mcp.transport import LONGEST_MESSAGE
from dibs.mcp.transport.http_body import Bodies, Body, Refused, error_answer, too_long
from dibs.mcp.transport.http_sessions import MOST_SESSIONS, Sessions
from dibs.mcp.transport.jsonrpc_messages import Malformed, decode, encode
from dibs.session.principal import IN_SCOPE

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from dibs.http.exposure import Exposure
    from dibs.mcp.transport.http_servers import Servers
    from dibs.session.principal import Principal

logger = logging.getLogger(__name__)

PATH: Final = "/mcp"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Admission:
    """The ASGI application before the SDK's: it refuses requests, or passes them on with their whole body."""

    def __init__(self, servers: Servers, exposure: Exposure, authentication: Authentication | None) -> None:
        self._servers = servers
        self._exposure = exposure
        self._authentication = authentication
        self._bodies = Bodies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        assert scope["type"] == "http", "uvicorn is configured for HTTP alone"
        request = Request(scope)
        body = Body(self._bodies)
        try:
            _check(request, self._exposure)
            sessions = await self._servers.sessions(await self._authenticate(scope))
            await body.read(receive)
            if request.method == "POST":
                _examine(request, body, sessions)
            await self._serve(sessions, scope, body.then(receive), send)
        except ClientDisconnect:
            logger.info("%s %s: the client left before the end of its request", request.method, scope["path"])
        except Malformed as fault:
            await _answer(HTTPStatus.BAD_REQUEST, fault.answer)(scope, receive, send)
        except (Denied, Refused) as refusal:
            logger.warning("%s %s was refused: %s", request.method, scope["path"], refusal)
            answer = error_answer(str(refusal)) if isinstance(refusal, Denied) else refusal.answer
            await _answer(refusal.status, answer, refusal.headers)(scope, receive, send)
        finally:
            body.release()

    async def _authenticate(self, scope: Scope) -> Principal | None:
        """Record the sender in the request's scope, and return it. Raises Denied if unproven, or above the rate."""
        if self._authentication is None:
            return None
        principal = await self._authentication.principal(scope)
        scope[IN_SCOPE] = principal
        scope["user"] = _user(principal)
        return principal

    async def _serve(self, sessions: Sessions, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request until its access token stops working: a stream may last for hours."""
        if self._authentication is None:
            await sessions.serve(scope, receive, send)
            return
        answer = _Answer(send)
        serve = AuthContextMiddleware(sessions.serve)  # the SDK binds the state of a repeated call to its principal
        with anyio.CancelScope() as serving:
            watching = asyncio.create_task(_watch_token(self._authentication, scope, serving))
            try:
                await serve(scope, receive, answer.send)
            finally:
                watching.cancel()
        if serving.cancelled_caught:
            await answer.end()


class _Answer:
    """The answer to a request. It ends when the request's access token ends."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._has_begun = False
        self._is_complete = False

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        self._has_begun = True
        self._is_complete = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    async def end(self) -> None:
        """Send the end of the answer. Raises Denied if it has not begun."""
        if not self._has_begun:
            raise Denied(HTTPStatus.UNAUTHORIZED, "The access token has ended.", {"www-authenticate": "Bearer"})
        if not self._is_complete:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _watch_token(authentication: Authentication, scope: Scope, serving: anyio.CancelScope) -> None:
    """Cancel a request when its access token works no longer, or cannot be watched."""
    ended = False
    try:
        while not ended:
            await asyncio.sleep(REMEMBERED_SECONDS)
            try:
                await authentication.proven(scope)
            except Denied as denied:
                ended = denied.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    finally:
        serving.cancel()


def _examine(request: Request, body: Body, sessions: Sessions) -> None:
    """Check the message as over stdio, and make room for a new session. Raises Malformed, or Refused."""
    message = decode(body.text)
    if _SURROGATE.search(body.text):  # perhaps a lone one, which was repaired
        body.text = encode(message)
    session = request.headers.get("mcp-session-id")
    if session is not None:
        sessions.observe(session, message)
    elif getattr(message, "method", None) == "initialize" and not sessions.make_room(request.scope.get("user")):
        raise Refused(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"{MOST_SESSIONS} sessions are open, and too many are in use. End one, or try again later.",
            types.INTERNAL_ERROR,
            retry_after="10",
        )


def _user(principal: Principal) -> AuthenticatedUser:
    """Return a principal in the SDK's form. The SDK lets only the principal that began a session use it."""
    client = f"{principal.project}\n{principal.name}"
    claims = {"iss": principal.issuer} if principal.issuer is not None else None
    return AuthenticatedUser(AccessToken(token="", client_id=client, scopes=[], subject=principal.agent, claims=claims))


def _check(request: Request, exposure: Exposure) -> None:
    """Refuse a request by its headers. Raises Refused, and Denied."""
    headers = request.headers
    if sum(len(name) + len(value) for name, value in headers.raw) > LONGEST_HEADERS:  # they arrived all at once
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, TOO_LONG_HEADERS)
    exposure.check_names(headers.get("host", ""), headers.get("origin"))
    refuse_token_in_url(request.scope)
    if request.scope["path"].removesuffix("/") != PATH:
        raise Refused(HTTPStatus.NOT_FOUND, f"MCP is served at {PATH}.")
    if request.method not in ("GET", "POST", "DELETE"):
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "Send POST, GET or DELETE.", allow="GET, POST, DELETE")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body without Content-Encoding.")
    if int(headers.get("content-length", "0")) > LONGEST_MESSAGE:  # h11 accepts digits only
        raise too_long()


def _answer(status: HTTPStatus, error: types.JSONRPCError, headers: dict[str, str] | None = None) -> Response:
    return Response(encode(error), status, headers, "application/json")
