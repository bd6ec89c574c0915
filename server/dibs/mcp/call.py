"""The call of a tool: checks its arguments, performs its operation, and returns its answer in both channels."""

from __future__ import annotations

import json
from typing import Any

from mcp.types import CallToolResult, TextContent

from dibs.mcp.context import Ctx, McpCall
from dibs.session.session import Session, refuse_role
from dibs_schema.operations import BY_TOOL, offered, read_arguments
from dibs_schema.refusals import InvalidInput, Refusal


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


def result(data: dict[str, Any], *, is_error: bool = False) -> CallToolResult:
    """Return an answer as text and as structured content: some clients show the model only one of the two."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=data, is_error=is_error)


def refused(refusal: Refusal) -> CallToolResult:
    """Return a refusal, flagged as an error."""
    return result(refusal.answer(), is_error=True)
