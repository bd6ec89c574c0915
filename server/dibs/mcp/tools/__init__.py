"""The MCP tools: each reads its input and calls an operation."""
