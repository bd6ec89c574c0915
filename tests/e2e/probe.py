"""A server with a different answer on each channel, which shows the channel that a client uses."""

from __future__ import annotations

from mcp.server import MCPServer
from mcp.types import CallToolResult, TextContent

LONG = 20_000


def ruler(length: int) -> str:
    """Return a string with its position at every tenth character, so that its end shows where it was cut."""
    return "".join(f"{place:09};" for place in range(10, length + 1, 10))


def measure(text: str) -> int:
    """Return how much of a ruler a string contains."""
    marks = [one for one in text.replace("\n", ";").split(";") if one.isdigit() and len(one) == 9]
    return max(map(int, marks), default=0)


def feature_probe(size: int = 0, fails: bool = False) -> CallToolResult:
    """Answer differently as text and as structured content."""
    structured = {"channel": "structured"} | ({"ruler": ruler(size)} if size else {})
    text = f'{{"channel":"text","ruler":"{ruler(size)}"}}'
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured, is_error=fails)


def main() -> None:
    """Serve on standard input and output."""
    server = MCPServer("features", instructions=ruler(LONG))
    server.add_tool(feature_probe, description=ruler(LONG), structured_output=False)
    server.run("stdio")


if __name__ == "__main__":
    main()
