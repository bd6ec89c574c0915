"""The parts of a server besides its tools: resources, prompts, completions and notifications of changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from mcp import types
from mcp.server import MCPServer
from mcp.server.apps import client_supports_apps
from mcp.server.lowlevel import NotificationOptions
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.exceptions import MCPError

from dibs.database import Database
from dibs.mcp.app.extension import URI, OverviewApp, is_offered, page, with_app
from dibs.mcp.client_roots import ClientRoots
from dibs.mcp.protocol_errors import as_protocol_errors
from dibs.mcp.resources.subscriptions import Subscriptions
from dibs.mcp.resources.uris import is_ours, parse
from dibs.mcp.resources.watcher import Watch
from dibs.session.session import Session
from dibs_schema.refusals import NotFound
from dibs_schema.roles import Role

if TYPE_CHECKING:
    from mcp.server.context import HandlerResult, ServerRequestContext
    from mcp.server.mcpserver import Context
    from pydantic import AnyUrl

    Request = ServerRequestContext[Session, Any]


NOT_FOUND = "There is no such resource. resources/list and resources/templates/list name the resources."


class BaseServer(MCPServer[Session]):
    """Serves resources and prompts, and notifies subscribers of changes in both protocol eras.

    `built` is set when SQLAlchemy is imported; requests that need it wait for that.
    """

    def __init__(self, database: Database, role: Role, roots: ClientRoots | None, **more: Any) -> None:
        bus = InMemorySubscriptionBus()
        self.built = anyio.Event()
        self.watch = Watch(database, self.built)
        self.roots = roots
        self._role = role
        super().__init__(subscriptions=bus, extensions=[OverviewApp()], **more)
        server = self._lowlevel_server
        Subscriptions(self.watch, bus, self._refuse_unknown).serve(server)
        server.add_request_handler("completion/complete", types.CompleteRequestParams, self._complete)
        for method in ("tools/list", "prompts/list", "resources/list", "resources/templates/list"):
            listing = server.get_request_handler(method)
            assert listing is not None, "the SDK serves every list"
            server.add_request_handler(method, types.PaginatedRequestParams, partial(_list, listing.handler, role))
        changing = NotificationOptions(resources_changed=True)
        # Every transport calls this for the answer to `initialize`, and passes no notification options.
        server.create_initialization_options = partial(server.create_initialization_options, changing)  # type: ignore[method-assign]

    async def ready(self, client: ServerSession, meta: Mapping[str, Any] | None = None) -> None:
        """Wait until SQLAlchemy is imported and the backlog is chosen. Raises InvalidInput if none can be served."""
        await self.built.wait()
        if self.roots is not None:
            await self.roots.choose(client, meta)

    # -- resources --------------------------------------------------------------------------------

    async def list_resources(self) -> list[types.Resource]:
        """Return the resources with fixed URIs."""
        await self.built.wait()
        from dibs.mcp.resources.read import FIXED

        return [*FIXED, *await super().list_resources()]

    async def list_resource_templates(self) -> list[types.ResourceTemplate]:
        """Return the URI templates of features, and of the events after a cursor."""
        await self.built.wait()
        from dibs.mcp.resources.read import TEMPLATES

        return [*TEMPLATES, *await super().list_resource_templates()]

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Session, Any] | None = None
    ) -> Iterable[ReadResourceContents] | types.InputRequiredResult:
        """Return a resource's text. Raises MCPError if there is no such resource."""
        with as_protocol_errors(str(uri)):
            if not is_ours(str(uri)):
                if str(uri) == URI and context is not None and client_supports_apps(context) and is_offered(self._role):
                    return [page()]
                try:
                    return await super().read_resource(uri, context)
                except ResourceNotFoundError:
                    raise NotFound(NOT_FOUND) from None
            assert context is not None, "resources are read by clients"
            await self.ready(context.session)
            from dibs.mcp.call import session_of
            from dibs.mcp.resources.read import read

            text, kind = await read(session_of(context), parse(str(uri)))
        return [ReadResourceContents(content=text, mime_type=kind)]

    async def _refuse_unknown(self, request: Request, uri: str) -> None:
        """Raise NotFound if there is no such resource."""
        if not is_ours(uri):
            if uri not in {str(one.uri) for one in await super().list_resources()}:
                raise NotFound(NOT_FOUND)
            return
        await self.ready(request.session)
        feature = parse(uri).feature
        if feature is not None:
            from dibs.rules.diagnosis import find

            await request.lifespan_context.database.read(lambda tx: find(tx, feature))

    # -- prompts and completions ------------------------------------------------------------------

    async def list_prompts(self) -> list[types.Prompt]:
        """Return the prompts that use only tools of this role."""
        await self.built.wait()
        from dibs.mcp.prompts.prompts import listed

        return [*listed(self._role), *await super().list_prompts()]

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Session, Any] | None = None
    ) -> types.GetPromptResult | types.InputRequiredResult:
        """Return the text of a prompt. Raises MCPError if there is no such prompt, or if an argument is invalid."""
        with as_protocol_errors():
            if name in {prompt.name for prompt in await super().list_prompts()}:
                return await super().get_prompt(name, arguments, context)
            await self.built.wait()
            from dibs.mcp.prompts.prompts import render

            return render(self._role, name, arguments or {})

    async def _complete(self, request: Request, params: types.CompleteRequestParams) -> types.CompleteResult:
        with as_protocol_errors():
            await self.ready(request.session)
            from dibs.mcp.prompts.completions import complete

            return types.CompleteResult(completion=await complete(request.lifespan_context, self._role, params))


async def _list(
    handler: Callable[[Request, types.PaginatedRequestParams], Awaitable[HandlerResult]],
    role: Role,
    request: Request,
    params: types.PaginatedRequestParams,
) -> HandlerResult:
    """Answer with a complete list, also for clients that render apps. Raises MCPError for any cursor."""
    if params.cursor:
        raise MCPError(code=types.INVALID_PARAMS, message="cursor: the list is complete, and has no cursors.")
    with as_protocol_errors():
        listed = await handler(request, params)
        return with_app(listed, role) if client_supports_apps(request) else listed
