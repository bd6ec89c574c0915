"""The overview as an MCP App: a page that some clients render beside the conversation, with tools that no model sees.

Source: the extension io.modelcontextprotocol/ui, revision 2026-01-26. Clients that do not announce it see nothing of it.
"""
