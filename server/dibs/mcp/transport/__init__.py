"""The transports that carry MCP messages: standard input and output, and HTTP."""
