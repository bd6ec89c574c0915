"""The MCP face: the server, its tools, and the stdio transport."""
