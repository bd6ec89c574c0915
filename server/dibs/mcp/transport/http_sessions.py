"""The sessions of clients with a handshake. If there are too many, the longest idle session ends."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import mcp_types as types
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, AuthorizationContext, authorization_context
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from dibs_schema.operations import BY_TOOL

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp.server.streamable_http import StreamableHTTPServerTransport
    from starlette.types import Receive, Scope, Send

logger = logging.getLogger(__name__)

MOST_SESSIONS: Final = 1_000
"""Sessions that may be open at once. Each takes about 40 kB."""


class Sessions(StreamableHTTPSessionManager):
    """All open sessions of one server. `lease` is the number of seconds for which a claim lasts after a call about it.

    `all_sessions` holds the sessions of all servers of the process, these included.
    """

    def __init__(self, server: Server[Any], lease: float, all_sessions: Sequence[Sessions]) -> None:
        super().__init__(server, max_sessions=None)
        self._all_sessions = all_sessions
        self._lease = lease
        self._may_hold_until: dict[str, float] = {}

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request whose body is known to be short enough."""
        await self._handle_request(scope, receive, send)

    def observe(self, session: str, message: types.JSONRPCMessage) -> None:
        """Record a message of a session: after a call about claims it may hold one until the lease ends."""
        if session in self._server_instances and isinstance(message, types.JSONRPCRequest):
            operation = BY_TOOL.get(str((message.params or {}).get("name")))
            if operation is not None and operation.group == "claims":
                self._may_hold_until[session] = time.monotonic() + self._lease

    def make_room(self, user: object) -> bool:
        """End the sessions that are too many for a new one of that user. Returns False if there is no room.

        A session in use has an open request or stream. A user with an access token may have half of all sessions in
        use. If an idle one must end, it is of the user that has the most, and one that may hold a claim comes last.
        Its claim lives on, and its token works in every session.
        """
        owner = authorization_context(user) if isinstance(user, AuthenticatedUser) else None
        if owner is not None and self._in_use(owner) >= MOST_SESSIONS // 2:
            return False
        now = time.monotonic()
        while sum(len(those._server_instances) for those in self._all_sessions) >= MOST_SESSIONS:  # noqa: SLF001 - this class
            counted = Counter(
                those._owner(one)  # noqa: SLF001
                for those in self._all_sessions
                for one in those._server_instances  # noqa: SLF001
            )
            idle = [
                (-counted[those._owner(one)], those._may_hold_until.get(one, 0) > now, idle_until, one, place)  # noqa: SLF001
                for place, those in enumerate(self._all_sessions)
                for one, transport in those._server_instances.items()  # noqa: SLF001
                if (idle_until := _idle_until(transport)) < math.inf
            ]
            if not idle:
                return False
            *_, session, place = min(idle)
            logger.warning("session %s is ended: %d are open, and it has been idle for longest", session, MOST_SESSIONS)
            transport = self._all_sessions[place]._server_instances.pop(session)  # noqa: SLF001
            assert transport.idle_scope is not None, "it is idle"
            transport.idle_scope.cancel()
        return True

    def _owner(self, session: str) -> tuple[str, str | None] | None:
        """Return whose a session is, or None if nobody is asked who they are."""
        owner = self._session_owners.get(session)
        return None if owner is None else (owner["client_id"], owner["issuer"])

    def _in_use(self, owner: AuthorizationContext) -> int:
        """Return how many sessions of an owner are in use."""
        return sum(
            those._session_owners.get(one) == owner and _idle_until(transport) == math.inf  # noqa: SLF001 - this class
            for those in self._all_sessions
            for one, transport in those._server_instances.items()  # noqa: SLF001
        )

    async def _discard_session(self, session_id: str, transport: StreamableHTTPServerTransport) -> None:
        self._may_hold_until.pop(session_id, None)
        await super()._discard_session(session_id, transport)


def _idle_until(transport: StreamableHTTPServerTransport) -> float:
    """Return the time at which an idle session would end by itself, or infinity for a session in use."""
    return math.inf if transport.idle_scope is None else transport.idle_scope.deadline
