"""How a tool reaches the connection that it is called on."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import Context

from dibs.tools.connection import Connection

Ctx = Context[Any, Any]


def connection_of(ctx: Ctx) -> Connection:
    """The connection that the lifespan opened."""
    connection = ctx.request_context.lifespan_context
    assert isinstance(connection, Connection)
    return connection
