"""The MCP servers of one process: one for each project and role, since each role has its own tools, made at first use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

import anyio
from anyio.abc import TaskGroup, TaskStatus

from dibs.database import Database, open_database
from dibs.mcp.server import DibsServer

if TYPE_CHECKING:
    from dibs.mcp.transport.http_sessions import Sessions
    from dibs.session.principal import Principal
    from dibs.settings import Settings


class Servers:
    """The servers over one database. `first` has the process's own settings; it serves requests without a token."""

    def __init__(self, first: DibsServer, settings: Settings) -> None:
        self.closing = first.closing
        self.database = first.session.database
        self._first = first
        self._settings = settings
        self._databases: dict[str, Database] = {settings.project: first.session.database}
        self._sessions: dict[tuple[str, str], Sessions] = {}
        self._all: list[Sessions] = []
        self._starting = anyio.Lock()
        self._tasks: TaskGroup | None = None

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Self]:
        """Run the servers during the block."""
        async with anyio.create_task_group() as self._tasks:
            await self._start((self._settings.project, self._settings.role.value), self._first)
            yield self
            self._tasks.cancel_scope.cancel()

    async def sessions(self, principal: Principal | None) -> Sessions:
        """Return the sessions of the server for a principal's project and role."""
        if principal is None:
            return self._all[0]
        key = (principal.project, principal.role.value)
        async with self._starting:
            if key not in self._sessions:
                await self._first.built.wait()  # it builds the validators of all tools, which two threads must not do
                await self._start(key, self._server_of(principal))
        return self._sessions[key]

    def _server_of(self, principal: Principal) -> DibsServer:
        settings = self._settings.model_copy(update={"project": principal.project, "role": principal.role})
        if principal.project not in self._databases:
            self._databases[principal.project] = open_database(settings)
        server = DibsServer(self._databases[principal.project], settings, None)
        server.session.closing = self.closing
        return server

    async def _start(self, key: tuple[str, str], server: DibsServer) -> None:
        assert self._tasks is not None, "it runs"
        sessions = server.http_sessions(self._all)
        await self._tasks.start(_run, sessions)
        self._sessions[key] = sessions
        self._all.append(sessions)


async def _run(sessions: Sessions, *, task_status: TaskStatus[None]) -> None:
    async with sessions.run():
        task_status.started()
        await anyio.sleep_forever()
