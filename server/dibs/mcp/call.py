"""The call of a tool: its arguments are checked, its operation is performed, its answer is encoded."""

from __future__ import annotations

from typing import Any

from mcp.types import CallToolResult

from dibs.mcp.context import Ctx, McpCall
from dibs.mcp.results import result
from dibs.session.session import Session, refuse_role
from dibs_schema.operations import BY_TOOL, offered, read_arguments
from dibs_schema.refusals import InvalidInput


async def call(session: Session, name: str, arguments: dict[str, Any], ctx: Ctx) -> CallToolResult:
    """Call a tool. Raises the Refusals of its operation, and InvalidInput for unknown tools and invalid arguments."""
    operation = BY_TOOL.get(name)
    if operation is None:
        names = ", ".join(one.tool for one in offered(session.settings.role))
        raise InvalidInput(f"There is no tool {name[:100]!r}. This server offers {names}.", field="name")
    refuse_role(session.settings.role, operation, session.wording)
    given = read_arguments(operation, arguments)
    wait_seconds = getattr(given, "wait_seconds", 0)
    answer = await session.perform(operation, given, McpCall(ctx, wait_seconds))
    return result(answer.wire())
