"""The product's server with the fixtures of the conformance suite added: `python -m conformance.app DATABASE`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp.types import (
    CallToolResult,
    Completion,
    EmptyResult,
    InputRequiredResult,
    SetLevelRequestParams,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)
from mcp.types import Tool as ToolDefinition

from conformance import asking, fixtures
from dibs.database import open_database
from dibs.http.exposure import expose
from dibs.http.listener import listen
from dibs.mcp.server import DibsServer
from dibs.mcp.transport.http import serve_http
from dibs.mcp.transport.http_servers import Servers
from dibs.settings import Settings


class ConformanceServer(DibsServer):
    """The server of `dibs serve --http`, with the fixtures in addition to the product's own tools."""

    def add_fixtures(self) -> None:
        """Add the fixtures that the suite asks for."""
        for prompt in (*fixtures.PROMPTS, *asking.PROMPTS):
            self.prompt()(prompt)
        for uri, (resource, mime_type) in fixtures.RESOURCES.items():
            self.resource(uri, mime_type=mime_type)(resource)
        self.completion()(_no_completions)  # type: ignore[no-untyped-call]  # the SDK's has no types
        handle = self._lowlevel_server.add_request_handler
        handle("resources/subscribe", SubscribeRequestParams, _done)
        handle("resources/unsubscribe", UnsubscribeRequestParams, _done)
        handle("logging/setLevel", SetLevelRequestParams, _done)

    async def list_tools(self) -> list[ToolDefinition]:
        """Return the product's tools and the fixtures."""
        return [*await super().list_tools(), *(_definition(tool) for tool in FIXTURES.values())]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a fixture, or a tool of the product."""
        if name not in FIXTURES:
            return await super().call_tool(name, arguments, context)
        assert context is not None
        answer: CallToolResult | InputRequiredResult = await FIXTURES[name].run(arguments, context, convert_result=True)
        return answer


def _tool(function: Callable[..., Any]) -> Tool:
    return Tool.from_function(function, structured_output=False)


FIXTURES = {tool.__name__: _tool(tool) for tool in (*fixtures.TOOLS, *asking.TOOLS)}


def _definition(tool: Tool) -> ToolDefinition:
    return ToolDefinition(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.parameters,
        output_schema=tool.output_schema,
        annotations=tool.annotations,
        _meta=tool.meta,
    )


async def _no_completions(*_: Any) -> Completion:
    return Completion(values=[], total=0, has_more=False)


async def _done(*_: Any) -> EmptyResult:
    return EmptyResult()


def main() -> None:
    """Serve until a signal comes."""
    settings = Settings.read({"db": sys.argv[1]})
    with listen("127.0.0.1", 0, "--http") as listening:
        server = ConformanceServer(open_database(settings), settings, None)
        server.add_fixtures()
        anyio.run(serve_http, Servers(server, settings), listening, expose(("127.0.0.1", 0)), None)


if __name__ == "__main__":
    main()
