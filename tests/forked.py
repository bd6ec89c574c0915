"""Lets the MCP client of `dibs.client` start its servers from the fork server (see `races.fork_server`).

Such a server is a real process with pipes of its own. It saves the half second in which an interpreter loads the SDK.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from races.fork_server import ForkedServer, is_plain

_spawn = asyncio.create_subprocess_exec


@pytest.fixture(scope="module", autouse=True)
def forked() -> Iterator[None]:
    """Start the servers of a folder's tests from the fork server, if its conftest imports this."""
    with forked_servers():
        yield


@contextmanager
def forked_servers() -> Iterator[None]:
    """Let `create_subprocess_exec` fork plain servers within the block. Other commands are started as always."""
    with patch.object(asyncio, "create_subprocess_exec", _start):
        yield


async def _start(*command: str, env: Mapping[str, str], limit: int, **options: Any) -> Any:
    added = {name: value for name, value in env.items() if os.environ.get(name) != value}
    stderr = 2 if options.get("stderr") is None else options["stderr"]
    if stderr < 0 or not is_plain(command, added):  # a pipe is a negative number
        return await _spawn(*command, env=env, limit=limit, **options)
    with os.fdopen(os.dup(stderr), "wb") as errors:
        born = ForkedServer(command, env, errors)
    return await _Process.of(born, limit)


class _Process:
    """The part of asyncio's Process that `dibs.client` uses."""

    def __init__(
        self,
        born: ForkedServer,
        stdin: asyncio.StreamWriter,
        stdout: asyncio.StreamReader,
        read: asyncio.ReadTransport,
    ) -> None:
        self._born = born
        self._transport = self
        self._read = read
        self.pid = born.pid
        self.stdin = stdin
        self.stdout = stdout

    @classmethod
    async def of(cls, born: ForkedServer, limit: int) -> _Process:
        """Connect the event loop to the pipes of a server."""
        loop = asyncio.get_running_loop()
        stdout = asyncio.StreamReader(limit, loop)
        read, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdout), born.stdout)
        write, flow = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, born.stdin)
        return cls(born, asyncio.StreamWriter(write, flow, None, loop), stdout, read)

    @property
    def returncode(self) -> int | None:
        """The exit status, or None while the process runs."""
        return self._born.poll()

    async def wait(self) -> int:
        """The exit status, negative for a signal."""
        while (status := self._born.poll()) is None:  # noqa: ASYNC110 - the nursery reports through a pipe
            await asyncio.sleep(0.005)
        for pipe in (self.stdin.transport, self._read):
            pipe.close()
        return status

    def kill(self) -> None:
        """End the process by SIGKILL, as asyncio's Process does."""
        os.kill(self.pid, signal.SIGKILL)

    def get_pipe_transport(self, number: int) -> asyncio.BaseTransport:
        """The transport of one of the process's standard streams."""
        return self._read if number == 1 else self.stdin.transport
