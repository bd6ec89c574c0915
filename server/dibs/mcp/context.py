"""How a tool reaches the connection that it is called on."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import Context

from dibs.session.session import Connection

Ctx = Context[Any, Any]

STATELESS = "2026-07-28"
"""From this revision on each call stands for itself, without a session; what a tool asks the user, the client asks, and
repeats the call with the answer."""


def connection_of(ctx: Ctx) -> Connection:
    """The connection that the lifespan opened, as this call has it."""
    connection = ctx.request_context.lifespan_context
    assert isinstance(connection, Connection)
    sessions = (ctx.protocol_version or "") < STATELESS
    return connection.calling(ctx.request_context.request, sessions=sessions)
