"""An agent that only follows answers: it reads a message, and makes the call that it names."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from dibs.client import Client, server_command

_CALL = re.compile(r"\b(?!feature_ids?\b)(feature_[a-z_]+|ask_user)\b")
_ARGUMENT = re.compile(r"\b([a-z_]+)=(\S+?)(?=[\s,;.]|$)")
_FIELDS = ("feature_id", "agent", "claim_token", "request_id")


@dataclass(frozen=True, slots=True)
class Next:
    """A call that a message names, with the arguments that it spells out."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)


def calls_named_in(message: str) -> list[Next]:
    """Return the calls that a message names, in order. `name=value` after a call, or in its sentence, is its argument."""
    found = []
    for sentence in re.split(r"(?<=[.:])\s", message):
        names = list(_CALL.finditer(sentence))
        for place, name in enumerate(names):
            start = 0 if place == 0 else name.start()
            end = names[place + 1].start() if place + 1 < len(names) else len(sentence)
            spelled = dict(_ARGUMENT.findall(sentence[start:end]))
            found.append(Next(name[0], {key: _value(text) for key, text in spelled.items()}))
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class Reader:
    """One agent at one server; it remembers only its answers."""

    def __init__(self, client: Client, **own: Any) -> None:
        self.client = client
        self.own = own
        """The values that only the agent knows: its name, its reason, its evidence."""

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool, and return the data of the answer or the refusal."""
        result = await self.client.call_raw(tool, arguments)
        data: dict[str, Any] = result.structured_content or {}
        return data

    async def refused(self, code: str, tool: str, **arguments: Any) -> dict[str, Any]:
        """Make a call that must be refused, and return the error."""
        answer = await self.call(tool, **arguments)
        error: dict[str, Any] = answer.get("error", {})
        assert error.get("code") == code, answer
        return error

    async def follow(self, said: dict[str, Any], number: int = 0, **more: Any) -> dict[str, Any]:
        """Make the call that a refusal or an idle answer names, and return its answer, which must be no refusal.

        Arguments come from the message, or else from the refusal's data, or else from what this agent knows. `more`
        has arguments that only this agent can know, such as another description.
        """
        calls = calls_named_in(said["message"])
        assert calls, f"no call is named: {said['message']}"
        then = calls[number]
        tools = {tool.name: tool for tool in (await self.client.session.list_tools()).tools}
        assert then.tool in tools, f"{then.tool} is not offered"
        schema = tools[then.tool].input_schema
        carried = {"feature_id": said.get("id")} | self.own
        needed = {name: carried[name] for name in schema.get("required", []) if name in carried}
        arguments = {name: value for name, value in (needed | then.arguments | more).items() if value is not None}
        unknown = arguments.keys() - schema["properties"].keys()
        assert not unknown, f"{then.tool} has no {unknown}"
        answer = await self.call(then.tool, **arguments)
        assert "error" not in answer, f"{then.tool} {arguments}: {answer}"
        return answer


@asynccontextmanager
async def agents_of(db: str, **flags: Sequence[str]) -> AsyncIterator[dict[str, Reader]]:
    """Start a server for each agent, with its flags, and yield the agents by their names."""
    async with AsyncExitStack() as stack:
        yield {
            name: Reader(await stack.enter_async_context(Client.start(server_command("--db", db, *more))))
            for name, more in flags.items()
        }
