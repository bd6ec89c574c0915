"""Subscriptions to resources in both eras of the protocol.

A connection with a handshake subscribes to one resource at a time, and is also notified of changes to the list. Since
2026-07-28 a stream names all of its resources when it opens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from mcp import types
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourcesListChanged, ResourceUpdated

from dibs.mcp.protocol_errors import as_protocol_errors
from dibs.mcp.resources.watcher import LIST, Audience, Watch
from dibs.session.session import Session
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from mcp.server.connection import Connection as Peer
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server

    Request = ServerRequestContext[Session, Any]

MOST = 1_000
"""Resources to which one connection, or one stream, may subscribe."""

_AUDIENCE = "dibs.audience"


class Subscriptions:
    """The subscriptions of all clients. `known` raises NotFound if a resource does not exist."""

    def __init__(
        self, watch: Watch, bus: InMemorySubscriptionBus, known: Callable[[Request, str], Awaitable[None]]
    ) -> None:
        self._watch = watch
        self._known = known
        self._listen = ListenHandler(bus)
        self._listeners = Audience(partial(_publish, bus))

    def serve(self, server: Server[Any]) -> None:
        """Answer the methods of both eras."""
        server.add_request_handler("resources/subscribe", types.SubscribeRequestParams, self._subscribe)
        server.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, self._unsubscribe)
        server.add_request_handler("subscriptions/listen", types.SubscriptionsListenRequestParams, self._hear)

    async def _subscribe(self, request: Request, params: types.SubscribeRequestParams) -> types.EmptyResult:
        with as_protocol_errors(params.uri):
            await self._known(request, params.uri)
            audience = self._audience_of(request)
            if len(audience.wanted) > MOST:
                raise InvalidInput(f"A connection subscribes to at most {MOST} resources.", field="uri")
            await self._watch.begin()
            audience.add(*({params.uri, LIST} - audience.wanted.keys()))
            self._watch.join(audience)
        return types.EmptyResult()

    async def _unsubscribe(self, request: Request, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        audience = self._audience_of(request)
        if params.uri in audience.wanted:
            audience.remove(params.uri)
            if list(audience.wanted) == [LIST]:
                audience.remove(LIST)
                self._watch.leave(audience)
        return types.EmptyResult()

    def _audience_of(self, request: Request) -> Audience:
        """Return the audience of one connection, which lasts until the connection ends."""
        peer = request.session._connection  # noqa: SLF001 - the SDK has no public object that outlives the request
        audience: Audience | None = peer.state.get(_AUDIENCE)
        if audience is None:
            audience = peer.state[_AUDIENCE] = Audience(partial(_send, peer))
            peer.exit_stack.callback(self._watch.leave, audience)
        return audience

    async def _hear(
        self, request: Request, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Serve one stream, and watch its resources for as long as it is open."""
        wanted = set(params.notifications.resource_subscriptions or ())
        if params.notifications.resources_list_changed:
            wanted.add(LIST)
        if not wanted:
            return await self._listen(request, params)
        with as_protocol_errors():
            if len(wanted) > MOST:
                raise InvalidInput(f"A stream subscribes to at most {MOST} resources.", field="notifications")
            await self._watch.begin()
            self._listeners.add(*wanted)
        try:
            self._watch.join(self._listeners)
            return await self._listen(request, params)
        finally:
            self._listeners.remove(*wanted)
            if not self._listeners.wanted:
                self._watch.leave(self._listeners)


async def _send(peer: Peer, uri: str) -> None:
    """Notify a connection with a handshake."""
    if uri == LIST:
        await peer.send_resource_list_changed()
    else:
        await peer.send_resource_updated(uri)


async def _publish(bus: InMemorySubscriptionBus, uri: str) -> None:
    """Notify the streams that have subscribed."""
    await bus.publish(ResourcesListChanged() if uri == LIST else ResourceUpdated(uri))
