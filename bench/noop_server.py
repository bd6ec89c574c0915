"""The yardstick: a stock server of the same SDK, with one tool that does nothing."""

from __future__ import annotations

from mcp.server import MCPServer

server = MCPServer("noop")


@server.tool()
async def noop() -> str:
    """Do nothing."""
    return "ok"


if __name__ == "__main__":
    server.run("stdio")
