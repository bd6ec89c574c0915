"""The MCP resources: URIs of the backlog that clients can read and subscribe to."""
