"""Runs one command as a group of processes: its input, its output, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dibs.platform.process_groups import NOT_STARTED, Lifeline, kill_group, terminate_group
from dibs.work.output import Output

GRACE = 5.0
"""Seconds that a command has to end after it was asked to, and its pipes to close after it has ended."""
CHUNKS = 16
"""The most parts of the output that wait to be written. Then the command waits."""
DESCRIPTION = {126: "cannot be executed", 127: "was not found"}


@dataclass(frozen=True, slots=True)
class Command:
    """A command, its folder, its environment and its input."""

    line: str | Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    given: bytes = b""
    holds: Sequence[int] = ()
    outlives: bool = False


class Running(asyncio.SubprocessProtocol):
    """A running command. It ends when its own process ends: children that keep its output open do not delay that."""

    def __init__(self, output: Output) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self._closed = asyncio.Event()
        self._output = output
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._writer = asyncio.create_task(self._write())
        self._transport: asyncio.SubprocessTransport | None = None

    @classmethod
    async def start(cls, command: Command, output: Output, lifeline: Lifeline) -> Running:
        """Start a command, and write what it is given to its standard input. Raises OSError where no guard runs it."""
        line, options = lifeline.guarded(command.line, command.holds, outlives=command.outlives)
        loop = asyncio.get_running_loop()
        by_shell = isinstance(line, str)
        started = (loop.subprocess_shell if by_shell else loop.subprocess_exec)(
            lambda: cls(output),
            *([line] if by_shell else line),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=command.folder,
            env=dict(command.environment),
            **options,
        )
        _, running = await started
        writer = cast("asyncio.WriteTransport", running._pipe(0))  # noqa: SLF001 - of this class
        writer.write(command.given)
        writer.write_eof() if writer.can_write_eof() else writer.close()
        return running

    def _pipe(self, number: int) -> Any:
        assert self._transport is not None, "it was started"
        return self._transport.get_pipe_transport(number)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - there is one output
        """Take a part of the output, and let the command wait if too much is unwritten."""
        self._parts.put_nowait(data)
        if self._parts.qsize() >= CHUNKS:
            self._pipe(1).pause_reading()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - a reader may go early
        """Note the end of the output; a command need not read its input."""
        if fd == 1:
            self._parts.put_nowait(None)

    def process_exited(self) -> None:
        """Note the end of the command."""
        if not self.ended.done():
            self.ended.set_result(None)

    async def _write(self) -> None:
        while (part := await self._parts.get()) is not None:
            await self._output.write(part)
            if self._parts.qsize() < CHUNKS // 2:
                with suppress(RuntimeError):  # the pipe is closed
                    self._pipe(1).resume_reading()
        self._closed.set()

    @property
    def pid(self) -> int:
        """The id of the process that leads the group."""
        assert self._transport is not None, "it was started"
        return self._transport.get_pid()

    @property
    def status(self) -> int:
        """The exit status of a command that has ended: 128 and more for a signal, as shells have it."""
        assert self._transport is not None, "it was started"
        status = self._transport.get_returncode()
        return 128 - status if status is not None and status < 0 else status or 0

    async def stop(self) -> None:
        """Ask the command to end, and end it after GRACE seconds."""
        terminate_group(self.pid)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await asyncio.shield(self.ended)
        await self.finish()

    async def finish(self) -> int:
        """End the rest of the group, read the rest of the output, and return the exit status."""
        await asyncio.to_thread(kill_group, self.pid)  # on Windows a program does it
        await self.ended
        with suppress(TimeoutError):  # a child with a session of its own may have the output open for ever
            async with asyncio.timeout(GRACE):
                await self._closed.wait()
        self._writer.cancel()
        assert self._transport is not None, "it was started"
        self._transport.close()
        await self._output.close()
        return self.status


def described(status: int) -> str:
    """Return an exit status as text."""
    if status in NOT_STARTED:
        return f"{DESCRIPTION[status]} (status {status})"
    return f"ended by signal {status - 128}" if 128 < status < 160 else f"ended with status {status}"
