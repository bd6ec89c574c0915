"""A server that says different things on every channel, to learn which of them a client shows its model."""

from __future__ import annotations

from mcp.server import MCPServer
from mcp.types import CallToolResult, TextContent

LONG = 20_000


def ruler(length: int) -> str:
    """A text that says at every tenth character how far it is: what is cut off it can be read off its end."""
    return "".join(f"{place:09};" for place in range(10, length + 1, 10))


def measure(text: str) -> int:
    """How much of a ruler is in a text."""
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
