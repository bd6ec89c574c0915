"""Registering the server with MCP clients: one entry in each client's own configuration file, and nothing else in it."""
