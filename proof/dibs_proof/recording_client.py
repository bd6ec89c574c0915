"""A real MCP client that writes to a file every call, and every interruption of its server."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from dibs.client import Client, ServerGone
from dibs.platform.signals import kill, resume, stop
from dibs_proof.history.history import Call, Change, Connection, answer_line, call_line, connection_line, write_line
from dibs_schema.refusals import Refusal


def disturb(client: Client, action: Callable[[int], None]) -> None:
    """Do something to the server's process. asyncio's own methods may reap the process and lose its exit status."""
    if client.process.returncode is None:
        with suppress(ProcessLookupError):
            action(client.process.pid)


class RecordingClient:
    """One client with its own server, and the file to which its calls are written.

    A call is written before it is sent, and again when its answer arrives. So the file shows calls without an answer,
    even after this process was killed.
    """

    def __init__(self, client: Client, name: str, file: TextIO) -> None:
        self.client = client
        self.name = name
        self._file = file
        self._number = 0
        self._over = False
        self._answered_at = time.monotonic()

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        command: Sequence[str],
        path: Path,
        name: str,
        environment: Mapping[str, str] | None = None,
        *,
        lease: float = 120.0,
        agent: str | None = None,
        role: str | None = None,
        stderr: int | None = None,
    ) -> AsyncIterator[RecordingClient]:
        """Start a server, and append the calls of its client `name` to the file at `path`.

        `name` must be used once in a history. `lease` (seconds), `agent` and `role` are the server's settings.
        """
        with path.open("a", encoding="utf-8", buffering=1) as file:
            claim = (environment or {}).get("DIBS_CLAIM")
            write_line(file, connection_line(Connection(name, agent, lease, claim, role)))
            async with Client.start(command, environment, name=name, stderr=stderr) as client:
                recorder = cls(client, name, file)
                try:
                    yield recorder
                finally:
                    if not recorder._over:
                        recorder.note("closed")

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool. Raises the Refusal that the server answered, and ServerGone."""
        self._number += 1
        call = Call(self.name, self._number, tool, arguments, time.monotonic())
        write_line(self._file, call_line(call))
        try:
            answer = await self.client.call(tool, **arguments)
        except Refusal as refusal:
            self._answered(call, refusal.answer()["error"], refused=True)
            raise
        except ServerGone:
            if not self._over:  # the server ended by itself, at some time since its last answer
                self.note("closed", self._answered_at)
            raise
        self._answered(call, answer, refused=False)
        return answer

    async def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool, and return the answer or the refusal. Raises ServerGone."""
        try:
            return await self.call(tool, **arguments)
        except Refusal as refusal:
            return refusal.answer()

    def _answered(self, call: Call, answer: dict[str, Any], *, refused: bool) -> None:
        self._answered_at = time.monotonic()
        ended = replace(call, ended=self._answered_at, answer=answer, refused=refused)
        write_line(self._file, answer_line(ended))

    def kill(self) -> None:
        """End the server at once."""
        self.note("killed")
        disturb(self.client, kill)

    def terminate(self, number: int = signal.SIGTERM) -> None:
        """Send SIGTERM or SIGHUP to the server, so that it releases its claims."""
        self.note("closed")
        disturb(self.client, lambda pid: os.kill(pid, number))

    def hang_up(self) -> None:
        """End the server's input, so that it releases its claims."""
        self.note("closed")
        self.client.close_input()

    def stop_reading(self) -> None:
        """Read no more answers, like a client that has crashed: the server's next write fails."""
        self.note("closed")
        transport = self.client.process._transport  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio offers no other way
        transport.get_pipe_transport(1).close()

    def stop(self) -> None:
        """Stop the server with SIGSTOP."""
        self.note("stopped")
        disturb(self.client, stop)

    def go_on(self) -> None:
        """Continue a stopped server with SIGCONT."""
        disturb(self.client, resume)
        self.note("continued")

    def note(self, change: Change, at: float | None = None) -> None:
        """Record an interruption of the server before it happens."""
        self._over |= change in ("killed", "closed")
        at = time.monotonic() if at is None else at
        write_line(self._file, {"interruption": change, "client": self.name, "at": at})
