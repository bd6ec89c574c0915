"""What a client that renders MCP Apps sees in addition: the page, the overview tool's link to it, and the page's tools.

The module imports little, since the server loads it before it answers `initialize`.
"""

from __future__ import annotations

from typing import Any

from mcp import types
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from mcp.server.extension import Extension
from mcp.server.lowlevel.helper_types import ReadResourceContents

from dibs_schema.roles import Role

URI = "ui://dibs/overview.html"
READ, ANSWER = "overview_app_read", "overview_app_answer"
_UI = {"csp": {"connectDomains": [], "resourceDomains": []}, "prefersBorder": True}
"""The page loads nothing, and connects to nothing but its client."""


class OverviewApp(Extension):
    """Announces the extension. What it adds depends on the client, so that the server itself lists and answers it."""

    identifier = EXTENSION_ID


def is_offered(role: Role) -> bool:
    """Return whether a role has the overview."""
    from dibs_schema.operations import Operations

    return role.has(Operations.overview.roles)


def may_answer(role: Role) -> bool:
    """Return whether a role may answer an agent."""
    from dibs_schema.operations import Operations

    return role.has(Operations.answer_person.roles)


def with_app(listed: Any, role: Role) -> Any:
    """Return a list of tools or resources for a client that renders the page."""
    if not is_offered(role):
        return listed
    if isinstance(listed, types.ListResourcesResult):
        return listed.model_copy(update={"resources": [*listed.resources, _resource()]})
    if isinstance(listed, types.ListToolsResult):
        return listed.model_copy(update={"tools": [*map(_linked, listed.tools), *_tools(role)]})
    return listed


def _linked(tool: types.Tool) -> types.Tool:
    from dibs_schema.operations import Operations

    if tool.name != Operations.overview.tool:
        return tool
    return tool.model_copy(update={"meta": {**(tool.meta or {}), "ui": {"resourceUri": URI}}})


def _resource() -> types.Resource:
    return types.Resource(
        uri=URI,
        name="overview_app",
        title="Overview",
        description="What needs a person, with forms to answer, and who works on what.",
        mime_type=APP_MIME_TYPE,
        _meta={"ui": _UI},
    )


def _tools(role: Role) -> list[types.Tool]:
    hidden = {"ui": {"resourceUri": URI, "visibility": ["app"]}}
    read = types.Tool(
        name=READ,
        title="Read the overview",
        description="What the page of the overview shows.",
        input_schema={"type": "object"},
        annotations=types.ToolAnnotations(read_only_hint=True),
        _meta=hidden,
    )
    answer = types.Tool(
        name=ANSWER,
        title="Answer an agent",
        description="A person's answer, given on the page of the overview.",
        input_schema={
            "type": "object",
            "properties": {
                "feature_id": {"type": "integer"},
                "question_id": {"type": "integer"},
                "answers": {"type": "object"},
            },
            "required": ["answers"],
        },
        annotations=types.ToolAnnotations(destructive_hint=False),
        _meta=hidden,
    )
    return [read, answer] if may_answer(role) else [read]


def page() -> ReadResourceContents:
    """Return the page as a client reads it."""
    from dibs.mcp.app.document import document

    return ReadResourceContents(content=document(), mime_type=APP_MIME_TYPE, meta={"ui": _UI})
