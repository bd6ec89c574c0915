"""What a server offers beside its tools: resources, prompts, completions, and word of what has changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server import MCPServer
from mcp.server.lowlevel import NotificationOptions
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CompleteRequestParams,
    CompleteResult,
    GetPromptResult,
    InputRequiredResult,
    PaginatedRequestParams,
    Prompt,
    Resource,
    ResourceTemplate,
)

from dibs.database import Database
from dibs.mcp.protocol_errors import in_words_of_the_protocol
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


LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
NOTHING_THERE = "There is no such resource. resources/list names those that there are, and features by a template."


class OfferingServer(MCPServer[Session]):
    """Serves resources and prompts, and tells subscribers of changes in both protocol eras.

    `built` is set once the parts are loaded that bring the database's library; what needs them waits for it.
    """

    def __init__(self, database: Database, role: Role, **more: Any) -> None:
        bus = InMemorySubscriptionBus()
        self.built = anyio.Event()
        self.watch = Watch(database, self.built)
        self._role = role
        super().__init__(subscriptions=bus, **more)
        server = self._lowlevel_server
        Subscriptions(self.watch, bus, self._refuse_unknown).serve(server)
        server.add_request_handler("completion/complete", CompleteRequestParams, self._complete)
        for method in LISTS:
            listing = server.get_request_handler(method)
            assert listing is not None, "the SDK serves every list"
            server.add_request_handler(method, PaginatedRequestParams, partial(_list, listing.handler))
        changing = NotificationOptions(resources_changed=True)
        # What every transport asks for what `initialize` answers, without a word about notifications.
        server.create_initialization_options = partial(server.create_initialization_options, changing)  # type: ignore[method-assign]

    # -- resources --------------------------------------------------------------------------------

    async def list_resources(self) -> list[Resource]:
        """The few resources with an address of their own."""
        await self.built.wait()
        from dibs.mcp.resources.read import FIXED

        return [*FIXED, *await super().list_resources()]

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """The addresses of features, and of the journal from any place."""
        await self.built.wait()
        from dibs.mcp.resources.read import TEMPLATES

        return [*TEMPLATES, *await super().list_resource_templates()]

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Session, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """A resource's text. Raises MCPError where there is none."""
        with in_words_of_the_protocol(str(uri)):
            if not is_ours(str(uri)):
                try:
                    return await super().read_resource(uri, context)
                except ResourceNotFoundError:
                    raise NotFound(NOTHING_THERE) from None
            assert context is not None, "resources are read by clients"
            await self.built.wait()
            from dibs.mcp.context import session_of
            from dibs.mcp.resources.read import read

            text, kind = await read(session_of(context), parse(str(uri)))
        return [ReadResourceContents(content=text, mime_type=kind)]

    async def _refuse_unknown(self, request: Request, uri: str) -> None:
        """Raise NotFound where nothing is at the address."""
        if not is_ours(uri):
            if uri not in {str(one.uri) for one in await super().list_resources()}:
                raise NotFound(NOTHING_THERE)
            return
        await self.built.wait()
        feature = parse(uri).feature
        if feature is not None:
            from dibs.rules.diagnosis import find

            await request.lifespan_context.database.read(lambda tx: find(tx, feature))

    # -- prompts and completions ------------------------------------------------------------------

    async def list_prompts(self) -> list[Prompt]:
        """The prompts of which the role has every tool."""
        await self.built.wait()
        from dibs.mcp.prompts.prompts import listed

        return [*listed(self._role), *await super().list_prompts()]

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        context: Context[Session, Any] | None = None,
    ) -> GetPromptResult | InputRequiredResult:
        """The prompt of that name. Raises MCPError where there is none, or an argument does not fit."""
        if name in {prompt.name for prompt in await super().list_prompts()}:
            return await super().get_prompt(name, arguments, context)
        await self.built.wait()
        from dibs.mcp.prompts.prompts import render

        with in_words_of_the_protocol():
            return render(self._role, name, arguments or {})

    async def _complete(self, request: Request, params: CompleteRequestParams) -> CompleteResult:
        await self.built.wait()
        from dibs.mcp.prompts.completions import complete

        with in_words_of_the_protocol():
            return CompleteResult(completion=await complete(request.lifespan_context, self._role, params))


async def _list(
    handler: Callable[[Request, PaginatedRequestParams], Awaitable[HandlerResult]],
    request: Request,
    params: PaginatedRequestParams,
) -> HandlerResult:
    """A list, which is always whole: no answer gave the cursor that was sent."""
    if params.cursor:
        raise MCPError(code=INVALID_PARAMS, message="cursor: the list is whole, and has none.")
    return await handler(request, params)
