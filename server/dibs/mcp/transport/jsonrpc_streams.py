"""JSON-RPC messages over lines: the two streams of the SDK's server, and their end."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial

import anyio
import mcp_types as types
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params
from mcp.shared.message import SessionMessage

from dibs.mcp.transport.jsonrpc_messages import Malformed, decode, encode
from dibs.platform.standard_streams import LineReader, LineWriter


class OpenRequests:
    """The requests without an answer, in either direction.

    Subscriptions do not count, since they are answered only at the end; nor do cancelled requests, which never are.
    """

    def __init__(self) -> None:
        self.of_server: set[types.RequestId] = set()
        self._of_client: Counter[types.RequestId] = Counter()
        self._settled = anyio.Event()

    def received(self, message: types.JSONRPCMessage) -> None:
        """Record a message from the client."""
        match message:
            case types.JSONRPCRequest(id=request_id, method=method):
                if method != "subscriptions/listen":
                    self._of_client[coerce_request_id(request_id)] += 1
            case types.JSONRPCNotification(method="notifications/cancelled", params=params):
                self._settle(cancelled_request_id_from_params(params))
            case types.JSONRPCResponse(id=request_id) | types.JSONRPCError(id=request_id) if request_id is not None:
                self.of_server.discard(coerce_request_id(request_id))

    def sent(self, message: types.JSONRPCMessage) -> None:
        """Record a message to the client."""
        match message:
            case types.JSONRPCResponse(id=request_id) | types.JSONRPCError(id=request_id):
                self._settle(request_id)
            case types.JSONRPCRequest(id=request_id):
                self.of_server.add(coerce_request_id(request_id))

    async def settled(self) -> None:
        """Wait until the client's requests have been answered."""
        while self._of_client:
            self._settled = anyio.Event()
            await self._settled.wait()

    def _settle(self, request_id: types.RequestId | None) -> None:
        if request_id is None:
            return
        key = coerce_request_id(request_id)
        if self._of_client[key] > 1:  # an id that was used again before its answer
            self._of_client[key] -= 1
        else:
            self._of_client.pop(key, None)
        if not self._of_client:
            self._settled.set()


class MessageReader(ObjectReceiveStream[SessionMessage]):
    """The client's messages, up to the end of its input and the last answer to them.

    Malformed lines are answered here, and not passed on. `closing` is set when the input ends. Open requests then get
    `grace` seconds, or none if the client has stopped reading.
    """

    def __init__(
        self, lines: LineReader, answers: LineWriter, requests: OpenRequests, closing: anyio.Event, grace: float
    ) -> None:
        self._lines = lines
        self._answers = answers
        self._requests = requests
        self._closing = closing
        self._grace = grace
        self._patience = anyio.CancelScope()
        answers.on_broken = partial(self.end, within=0)

    async def receive(self) -> SessionMessage:
        """Return the next message. Raises anyio.EndOfStream when the input has ended and all requests are answered."""
        while True:
            if self._closing.is_set():  # the server itself ends
                self.end(self._grace)
            try:
                message = decode(await self._lines.take())
            except Malformed as fault:
                self._answers.write(encode(fault.answer))
            except anyio.EndOfStream:
                self.end(self._grace)
                if self._requests.of_server:  # the handler that waits for the answer can still finish
                    error = types.ErrorData(code=types.CONNECTION_CLOSED, message="The client's input has ended.")
                    return SessionMessage(
                        types.JSONRPCError(jsonrpc="2.0", id=self._requests.of_server.pop(), error=error)
                    )
                await self._settled()
                raise
            else:
                self._requests.received(message)
                return SessionMessage(message)

    def end(self, within: float) -> None:
        """End the input now. Stop waiting for open requests after `within` seconds, or at an earlier deadline."""
        self._closing.set()
        self._lines.close()
        deadline = asyncio.get_running_loop().time() + within
        self._patience.deadline = min(self._patience.deadline, deadline)

    async def aclose(self) -> None:
        """Read no more."""
        self._lines.close()

    async def _settled(self) -> None:
        with anyio.CancelScope(deadline=self._patience.deadline) as self._patience:
            await self._requests.settled()
            await self._answers.drained()


class MessageWriter(ObjectSendStream[SessionMessage]):
    """The messages to the client, each complete and in order, even if its sender is cancelled."""

    def __init__(self, lines: LineWriter, requests: OpenRequests, closing: anyio.Event) -> None:
        self._lines = lines
        self._requests = requests
        self._closing = closing
        self._closed = False

    async def send(self, item: SessionMessage) -> None:
        """Write a message, and wait for a slow client, unless the input has ended.

        Raises anyio.BrokenResourceError if the client has gone, or if the message is a request that the client cannot
        answer, since its input has ended. Raises anyio.ClosedResourceError after `aclose`.
        """
        if self._closed:
            raise anyio.ClosedResourceError
        if isinstance(item.message, types.JSONRPCRequest) and self._closing.is_set():
            raise anyio.BrokenResourceError
        self._lines.write(encode(item.message))
        if self._lines.broken:
            raise anyio.BrokenResourceError
        self._requests.sent(item.message)
        if not self._closing.is_set():
            await self._lines.drained()

    async def aclose(self) -> None:
        """Accept no more messages. Those sent before are still written."""
        self._closed = True
