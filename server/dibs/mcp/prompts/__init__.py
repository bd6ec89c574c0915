"""The MCP prompts: workflows that a person can start in a client."""
