"""An MCP client that starts its own server process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from mcp.client.session import ClientSession, ElicitationFnT
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp.types import CONNECTION_CLOSED, CallToolResult, Implementation, jsonrpc_message_adapter

from dibs.client.calls import ServerGone
from dibs.platform.processes import OWN_SESSION
from dibs.platform.signals import kill
from dibs_schema.refusals import all_codes


def server_command(*flags: str) -> list[str]:
    """Return the command line of `dibs serve FLAGS` with this interpreter."""
    return [sys.executable, "-m", "dibs", "serve", *flags]


class Client:
    """One connection to one server process; `async with Client.start(command) as client`."""

    def __init__(self, process: asyncio.subprocess.Process, session: ClientSession) -> None:
        self.process = process
        self.session = session
        self._owner = os.getpid()

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        name: str = "dibs-client",
        elicit: ElicitationFnT | None = None,
        stderr: int | None = None,
    ) -> AsyncIterator[Client]:
        """Start and initialize the server. When the block ends, the server gets 5 seconds to end by itself.

        `environment` extends this process's environment. `elicit` answers the server's questions to the user.
        Raises ServerGone if the server ends before it answers `initialize`.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **(environment or {})},
            limit=64 << 20,  # bytes of the longest line
            **OWN_SESSION,  # this process handles an interrupt at the terminal
        )
        into, inbox = anyio.create_memory_object_stream[SessionMessage | Exception](64)
        outbox, out = anyio.create_memory_object_stream[SessionMessage](64)
        try:
            async with anyio.create_task_group() as pumps:
                pumps.start_soon(_pump_in, process, into)
                pumps.start_soon(_pump_out, process, out)
                info = Implementation(name=name, version="1")
                async with ClientSession(inbox, outbox, client_info=info, elicitation_callback=elicit) as session:
                    client = cls(process, session)
                    await client._answered(session.initialize())
                    yield client
                    client.close_input()
                    with anyio.move_on_after(5):
                        await process.wait()
                pumps.cancel_scope.cancel()
        finally:
            if process.returncode is None:  # asyncio's `kill` may reap the process and lose its exit status
                with suppress(ProcessLookupError):
                    kill(process.pid)
            with anyio.CancelScope(shield=True):
                await process.wait()
            for stream in (into, inbox, outbox, out):
                stream.close()

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its structured content.

        Raises the Refusal that the server answers, and ServerGone if it ends before it answers.
        """
        return content_of(await self.call_raw(tool, arguments))

    async def call_raw(self, tool: str, arguments: dict[str, Any], meta: Any = None) -> CallToolResult:
        """Call a tool and return its result. Raises ServerGone, and RuntimeError in a fork."""
        self._refuse_fork()
        result: CallToolResult = await self._answered(self.session.call_tool(tool, arguments, meta=meta))
        return result

    async def _answered(self, call: Any) -> Any:
        try:
            return await call
        except MCPError as error:
            if error.error.code != CONNECTION_CLOSED:
                raise
            raise ServerGone(f"the server (pid {self.process.pid}) ended before it answered") from error

    def close_input(self) -> None:
        """End the server's input, as a client that has finished does. Raises RuntimeError in a fork."""
        self._refuse_fork()
        assert self.process.stdin is not None
        self.process.stdin.close()

    def _refuse_fork(self) -> None:
        """Raise RuntimeError in a fork: its messages would mix with its parent's."""
        if os.getpid() != self._owner:
            raise RuntimeError("a client does not survive a fork: start one in the child")


async def _pump_in(process: asyncio.subprocess.Process, into: Any) -> None:
    assert process.stdout is not None
    async with into:
        async for line in process.stdout:
            if not line.endswith(b"\n"):
                return  # the server was killed in the middle of an answer
            await into.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))


async def _pump_out(process: asyncio.subprocess.Process, out: Any) -> None:
    assert process.stdin is not None
    async for message in out:
        text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
        process.stdin.write(text.encode() + b"\n")
        try:
            await process.stdin.drain()
        except ConnectionError:
            return


def content_of(result: CallToolResult) -> dict[str, Any]:
    """Return the structured content of a tool's result, or raise the Refusal in it."""
    content = result.structured_content or {}
    if not result.is_error:
        return content
    if "error" not in content:  # the SDK rejected the server's answer
        raise RuntimeError(" ".join(getattr(part, "text", "") for part in result.content))
    error = dict(content["error"])
    kind = all_codes()[error.pop("code")]
    error.pop("retryable")
    raise kind(error.pop("message"), **error)
