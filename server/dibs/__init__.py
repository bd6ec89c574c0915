"""Dibs: the MCP server through which any number of coding agents share one backlog of features."""

__version__ = "0.1.0"
