"""The definitions of tools as clients list them, made from the table of operations."""

from __future__ import annotations

from mcp.types import Tool, ToolAnnotations

from dibs.mcp.schemas import input_schema, output_schema
from dibs_schema.operations import AnyOperation, offered
from dibs_schema.roles import Role


def definitions(role: Role) -> list[Tool]:
    """The definitions of a role's tools, in a fixed order."""
    return [definition(operation, role) for operation in offered(role)]


def definition(operation: AnyOperation, role: Role) -> Tool:
    """The definition of one tool for a role."""
    parameters = input_schema(operation.arguments)
    if not role.plans:
        for name in operation.planner_only:
            del parameters["properties"][name]
    return Tool(
        name=operation.tool,
        title=operation.title,
        description=operation.description,
        input_schema=parameters,
        output_schema=output_schema(operation.answers),
        annotations=_hints(operation),
        _meta={"anthropic/alwaysLoad": True} if operation.preloaded else None,
    )


def _hints(operation: AnyOperation) -> ToolAnnotations:
    """The hints about a tool; the protocol gives the others no meaning for one that only reads."""
    if operation.reads:
        return ToolAnnotations(read_only_hint=True)
    return ToolAnnotations(destructive_hint=operation.destroys, idempotent_hint=operation.repeatable or None)
