"""The three protocols in which clients call their models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from e2e.model import Answer, Definition, Dialect, Turn
from e2e.script import Shown

Events = Iterator[tuple[str | None, dict[str, Any] | str]]

DONE = "Done."


def texts(value: Any) -> str:
    """Return all text in a message's content, joined."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(texts, value)))
    if isinstance(value, dict):
        return "\n".join(texts(value[key]) for key in ("text", "content", "tool_name") if key in value)
    return ""


class Messages(Dialect):
    """Anthropic's Messages, as Claude Code speaks it."""

    path = "/v1/messages"
    finder = "ToolSearch"

    def query(self, *tools: str) -> dict[str, Any]:
        """See Dialect."""
        return {"query": "select:" + ",".join(f"mcp__features__{tool}" for tool in tools)}

    def read(self, body: dict[str, Any]) -> Turn:
        """See Dialect."""
        tools = [
            Definition(one["name"], one.get("description", ""), one.get("input_schema", {}), one)
            for one in body.get("tools", ())
        ]
        blocks = [
            block
            for message in body["messages"]
            if isinstance(message["content"], list)
            for block in message["content"]
        ]
        shown = [
            Shown(one["tool_use_id"], one.get("content"), texts(one.get("content")), one.get("is_error", False))
            for one in blocks
            if one["type"] == "tool_result"
        ]
        words = texts(body.get("system", "")) + "\n" + texts([one["content"] for one in body["messages"]])
        return Turn(tools, shown, words, body)

    def events(self, answer: Answer, model: str) -> Events:
        """See Dialect."""
        usage = {"input_tokens": 10, "output_tokens": 5}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": []}
        start = {"stop_reason": None, "stop_sequence": None, "usage": usage}
        yield "message_start", {"type": "message_start", "message": message | start}
        block: dict[str, Any] = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": DONE}
        if answer.tool:
            block = {"type": "tool_use", "id": answer.call_id, "name": answer.tool.name, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(answer.arguments)}
        yield "content_block_start", {"type": "content_block_start", "index": 0, "content_block": block}
        yield "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": 0}
        reason = {"stop_reason": "tool_use" if answer.tool else "end_turn", "stop_sequence": None}
        yield "message_delta", {"type": "message_delta", "delta": reason, "usage": {"output_tokens": 5}}
        yield "message_stop", {"type": "message_stop"}


class Responses(Dialect):
    """OpenAI's Responses, as Codex speaks it."""

    path = "/responses"
    finder = "tool_search"

    def read(self, body: dict[str, Any]) -> Turn:
        """See Dialect."""
        tools: list[Definition] = []
        found = [tool for item in body["input"] for tool in item.get("tools", ())]
        for one in [*body.get("tools", ()), *found]:
            inner = one.get("tools", ()) if one["type"] == "namespace" else (one,)
            space = one["name"] if one["type"] == "namespace" else ""
            tools += [
                Definition(
                    tool.get("name", tool["type"]),
                    tool.get("description", ""),
                    tool.get("parameters", {}),
                    tool,
                    space,
                )
                for tool in inner
            ]
        items = body["input"]
        shown = [
            Shown(one["call_id"], one.get("output", one.get("tools")), texts(one.get("output")))
            for one in items
            if one["type"] in ("function_call_output", "custom_tool_call_output", "tool_search_output")
        ]
        return Turn(tools, shown, body.get("instructions", "") + "\n" + texts(items), body)

    def events(self, answer: Answer, model: str) -> Events:
        """See Dialect."""
        head = {"id": "resp_1", "object": "response", "model": model, "output": []}
        yield "response.created", {"type": "response.created", "response": head | {"status": "in_progress"}}
        item: dict[str, Any] = {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "content": [{"type": "output_text", "text": DONE, "annotations": []}],
        }
        if answer.tool:
            item = {
                "type": "function_call",
                "id": f"fc_{answer.call_id}",
                "call_id": answer.call_id,
                "name": answer.tool.name,
                "arguments": json.dumps(answer.arguments),
            }
            if answer.tool.name == self.finder:
                item = {
                    "type": "tool_search_call",
                    "call_id": answer.call_id,
                    "execution": "client",
                    "arguments": answer.arguments,
                }
            elif answer.tool.namespace:
                item["namespace"] = answer.tool.namespace
        yield (
            "response.output_item.added",
            {"type": "response.output_item.added", "output_index": 0, "item": item},
        )
        yield (
            "response.output_item.done",
            {"type": "response.output_item.done", "output_index": 0, "item": item},
        )
        usage = {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 15,
        }
        done = head | {"status": "completed", "output": [item], "usage": usage}
        yield "response.completed", {"type": "response.completed", "response": done}


class Completions(Dialect):
    """OpenAI's chat completions, as opencode speaks it to a custom provider."""

    path = "/chat/completions"

    def read(self, body: dict[str, Any]) -> Turn:
        """See Dialect."""
        functions = [one["function"] for one in body.get("tools", ())]
        tools = [
            Definition(one["name"], one.get("description", ""), one.get("parameters", {}), one) for one in functions
        ]
        shown = [
            Shown(one["tool_call_id"], one["content"], texts(one["content"]))
            for one in body["messages"]
            if one["role"] == "tool"
        ]
        return Turn(tools, shown, texts([one.get("content") for one in body["messages"]]), body)

    def events(self, answer: Answer, model: str) -> Events:
        """See Dialect."""
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
        delta: dict[str, Any] = {"role": "assistant", "content": DONE}
        if answer.tool:
            function = {"name": answer.tool.name, "arguments": json.dumps(answer.arguments)}
            call = {"index": 0, "id": answer.call_id, "type": "function", "function": function}
            delta = {"role": "assistant", "content": None, "tool_calls": [call]}
        yield None, head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        reason = "tool_calls" if answer.tool else "stop"
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        yield None, head | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": usage}
        yield None, "[DONE]"
