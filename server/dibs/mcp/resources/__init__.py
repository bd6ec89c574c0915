"""The MCP resources: the backlog as addresses that clients can read and subscribe to."""
