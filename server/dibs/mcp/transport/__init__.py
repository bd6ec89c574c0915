"""The transports that carry MCP messages: standard input and output, and HTTP."""

LONGEST_MESSAGE = 64 << 20
"""Bytes of the longest message that a client may send, on every transport."""
