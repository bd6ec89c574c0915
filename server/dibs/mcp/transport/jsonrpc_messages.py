"""JSON-RPC messages as text: the same checks, repairs and refusals on every transport."""

from __future__ import annotations

import json

import mcp_types as types
from mcp.shared.dispatcher import as_request_id
from pydantic import ValidationError
from pydantic_core import from_json

from dibs.mcp.transport import LONGEST_MESSAGE


class Malformed(Exception):  # noqa: N818 - it describes the text
    """A text is not a JSON-RPC message; `answer` is the error to send for it."""

    def __init__(self, code: int, message: str, request_id: types.RequestId | None = None) -> None:
        super().__init__(message)
        self.answer = types.JSONRPCError(
            jsonrpc="2.0", id=request_id, error=types.ErrorData(code=code, message=message)
        )


def decode(text: bytes | None) -> types.JSONRPCMessage:
    """Return the message in `text`; None means that it was too long to keep.

    Raises Malformed with PARSE_ERROR if the text is not JSON in UTF-8, and with INVALID_REQUEST if it is too long or
    not a single JSON-RPC 2.0 message (MCP has no batches).
    """
    if text is None:
        raise Malformed(types.INVALID_REQUEST, f"A message may be at most {LONGEST_MESSAGE >> 20} MiB long.")
    try:
        message = types.jsonrpc_message_adapter.validate_json(text, by_name=False)
    except ValidationError:
        message = _repaired(text)
    # The SDK treats a request whose id is null or a fraction as a notification, and would never answer it.
    if isinstance(message, types.JSONRPCNotification) and b'"id"' in text and "id" in from_json(text):
        raise Malformed(types.INVALID_REQUEST, "A request's id must be a string or an integer.")
    return message


def _repaired(text: bytes) -> types.JSONRPCMessage:
    """Return the message in `text`, whose strings contain lone surrogates, as JavaScript writes them."""
    try:
        whole = json.dumps(json.loads(text), ensure_ascii=False).encode(errors="replace")
        return types.jsonrpc_message_adapter.validate_json(whole, by_name=False)
    except (ValueError, RecursionError):
        raise _diagnosis(text) from None


def _diagnosis(text: bytes) -> Malformed:
    try:
        value = from_json(text)
    except ValueError:
        return Malformed(types.PARSE_ERROR, "The message is not JSON in UTF-8.")
    if not isinstance(value, dict):
        return Malformed(types.INVALID_REQUEST, "Send one JSON-RPC message at a time, and not a batch.")
    # The id of a malformed response is one of the server's own requests; an error with it would answer another one.
    is_response = "result" in value or "error" in value
    request_id = None if is_response else as_request_id(value.get("id"))
    return Malformed(types.INVALID_REQUEST, "The message is JSON, but not a JSON-RPC 2.0 message.", request_id)


def encode(message: types.JSONRPCMessage) -> bytes:
    """Return the message as one line, with its newline."""
    return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
