"""JSON-RPC messages over lines: the two streams of the SDK's server, and their end."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from functools import partial

import anyio
import mcp_types as types
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.dispatcher import as_request_id, coerce_request_id
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params
from mcp.shared.message import SessionMessage
from pydantic import ValidationError
from pydantic_core import from_json

from dibs.mcp.transport.line_io import LONGEST_LINE, LineReader, LineWriter


class Malformed(Exception):  # noqa: N818 - it describes the line
    """A line is not a JSON-RPC message; `answer` is the error to send for it."""

    def __init__(self, code: int, message: str, request_id: types.RequestId | None = None) -> None:
        super().__init__(message)
        self.answer = types.JSONRPCError(
            jsonrpc="2.0", id=request_id, error=types.ErrorData(code=code, message=message)
        )


def decode(line: bytes | None) -> types.JSONRPCMessage:
    """Return the message in a line as `LineReader.take` gives it.

    Raises Malformed with PARSE_ERROR if the line is not JSON in UTF-8, and with INVALID_REQUEST if it is too long or
    not a single JSON-RPC 2.0 message (MCP has no batches).
    """
    if line is None:
        raise Malformed(types.INVALID_REQUEST, f"A message may be at most {LONGEST_LINE >> 20} MiB long.")
    try:
        message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError:
        message = _repaired(line)
    # The SDK treats a request whose id is null or a fraction as a notification, and would never answer it.
    if isinstance(message, types.JSONRPCNotification) and b'"id"' in line and "id" in from_json(line):
        raise Malformed(types.INVALID_REQUEST, "A request's id must be a string or an integer.")
    return message


def _repaired(line: bytes) -> types.JSONRPCMessage:
    """Return the message in a line whose strings contain lone surrogates, as JavaScript writes them."""
    try:
        whole = json.dumps(json.loads(line), ensure_ascii=False).encode(errors="replace")
        return types.jsonrpc_message_adapter.validate_json(whole, by_name=False)
    except (ValueError, RecursionError):
        raise _diagnosis(line) from None


def _diagnosis(line: bytes) -> Malformed:
    try:
        value = from_json(line)
    except ValueError:
        return Malformed(types.PARSE_ERROR, "The line is not JSON in UTF-8.")
    if not isinstance(value, dict):
        return Malformed(types.INVALID_REQUEST, "A line must hold one JSON-RPC message, and not a batch.")
    # The id of a malformed response is one of the server's own requests; an error with it would answer another one.
    is_response = "result" in value or "error" in value
    request_id = None if is_response else as_request_id(value.get("id"))
    return Malformed(types.INVALID_REQUEST, "The line is JSON, but not a JSON-RPC 2.0 message.", request_id)


def encode(message: types.JSONRPCMessage) -> bytes:
    """Return the line that carries the message, with its newline."""
    return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"


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
        """End the input now, and the wait for open requests in `within` seconds or earlier, if that was set before."""
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
