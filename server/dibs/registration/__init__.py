"""Registers the server with MCP clients: adds one entry to each client's configuration file, and changes nothing else."""
