"""The MCP server: one connection over stdio or many clients over HTTP, one database, the tools of one role."""

from __future__ import annotations

import gc
import importlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server import MCPServer
from mcp.server.apps import client_supports_apps
from mcp.server.session import ServerSession
from mcp.types import CallToolResult, InputRequiredResult
from mcp.types import Tool as ToolDefinition

from dibs import __version__
from dibs.database import Database
from dibs.mcp.app.extension import ANSWER, READ, is_offered
from dibs.mcp.base_server import BaseServer
from dibs.mcp.client_roots import UNKNOWN, ClientRoots
from dibs.mcp.instructions import instructions
from dibs.mcp.log_lines import log_lines
from dibs.mcp.protocol_errors import as_protocol_errors
from dibs.mcp.transport.stdio import serve_stdio
from dibs.session.caller import Caller
from dibs.session.issued_tokens import ClaimMemory, IssuedTokens
from dibs.session.lease_keeper import LeaseKeeper
from dibs.session.session import Session, load_operations
from dibs.settings import Settings, shown_project
from dibs_schema.refusals import InvalidInput, Refusal

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

    from dibs.mcp.transport.http_sessions import Sessions

logger = logging.getLogger(__name__)

NAME = "features"


class DibsServer(BaseServer):
    """Serves one backlog to one client on a `connection`, or to any number of clients over HTTP if that is None.

    A thread builds the definitions of the tools, so that `initialize` is answered before SQLAlchemy is imported.
    """

    def __init__(
        self, database: Database, settings: Settings, connection: str | None, roots: ClientRoots | None = None
    ) -> None:
        if connection is not None:
            tokens = IssuedTokens()
            caller = Caller.on_connection(settings, connection)
        else:
            tokens = None
            caller = Caller.over_http(settings, None)
        self.session = Session(database, settings, caller, tokens or ClaimMemory())
        self.leases = LeaseKeeper(database, settings, connection, tokens)
        self._settings = settings
        log_lines(settings.log)
        self._tools: list[ToolDefinition] = []
        say = partial(
            instructions,
            settings.role,
            detached_lease=None if connection is not None else settings.detached_lease,
            has_adopted=settings.claim is not None,
        )
        super().__init__(
            database,
            settings.role,
            roots,
            name=NAME,
            title="Dibs",
            version=__version__,
            instructions=say(database=f"{database.label}, project {shown_project(settings.project, database.label)}"),
            lifespan=_lifespan,
            log_level=settings.log,
        )
        # Nothing exports spans here, and to create one for each message takes a tenth of the SDK's time.
        self.middleware[:] = [one for one in self.middleware if type(one).__name__ != "OpenTelemetryMiddleware"]
        if roots is not None:
            roots.attend(self.middleware, say(database=UNKNOWN), self.closing)

    @classmethod
    def asking_for_roots(cls, settings: Settings, connection: str) -> DibsServer:
        """Return the server of one client, which may name the project's folder by its only root."""
        roots = ClientRoots(settings)
        return cls(roots.database, settings, connection, roots)

    @property
    def refusal(self) -> InvalidInput | None:
        """Why there was no backlog to serve, neither by the client's roots nor in the working folder."""
        return None if self.roots is None else self.roots.refusal

    @property
    def closing(self) -> anyio.Event:
        """Set when the input has ended, which ends the calls that wait."""
        return self.session.closing

    async def run_stdio_async(self) -> None:
        """Serve standard input and output until the input ends or a signal comes."""
        await serve_stdio(self._lowlevel_server, closing=self.closing)

    def http_sessions(self, all_sessions: Sequence[Sessions]) -> Sessions:
        """Return the sessions of the clients over HTTP, of which there are none yet; `all_sessions` share one limit."""
        from dibs.mcp.transport.http_sessions import Sessions

        return Sessions(self._lowlevel_server, self._settings.detached_lease, all_sessions)

    async def list_tools(self) -> list[ToolDefinition]:
        """Return the definitions of the role's tools, in a fixed order."""
        await self.built.wait()
        return self._tools

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Session, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Perform the operation of a tool. Every refusal becomes an answer here, and nowhere else."""
        await self.built.wait()
        from dibs.mcp.call import InputRequired, call, result, session_of, wording_of

        assert context is not None, "tools are called by clients"
        with as_protocol_errors():
            try:
                await self.ready(context.session, context.request_context.meta)
                if name in (READ, ANSWER) and client_supports_apps(context) and is_offered(self._settings.role):
                    from dibs.mcp.app.tools import call_app

                    return await call_app(session_of(context), name, arguments)
                return await call(session_of(context), name, arguments, context)
            except Refusal as refusal:
                return result(refusal.answer(wording_of(context)), is_error=True)
            except InputRequired as required:
                return required.result

    async def warm_up(self) -> None:
        """Build the definitions and open the database before the first call.

        If the database cannot be opened, the calls that need it say why. Objects loaded by then live until the end, so
        the garbage collector ignores them.
        """
        self._tools = await anyio.to_thread.run_sync(_build, self._settings)
        self.built.set()
        try:
            if self.roots is not None:
                client = await self.roots.client()
                if self.roots.waits_for_call:
                    await self.roots.tried.wait()
                else:
                    await self.roots.choose(client)
            await self.session.database.warm_up()
            if self.session.adopted is not None:
                await self.session.adopted.keep_alive(self.session)
        except Refusal as refusal:
            logger.error("%s", refusal)  # noqa: TRY400 - its message is for a person
        if not gc.isenabled():  # `dibs serve` has disabled it; other programs that contain a server have not
            gc.freeze()
            gc.enable()

    async def ready(self, client: ServerSession, meta: Mapping[str, Any] | None = None) -> None:
        """Wait until SQLAlchemy is imported and the backlog is chosen. Raises InvalidInput if none can be served."""
        await super().ready(client, meta)
        if self.roots is not None:
            self.session.settings = self.roots.settings

    async def keep_leases(self) -> None:
        """Renew leases and reap, from the choice of the backlog on, until cancelled."""
        if self.roots is not None:
            await self.roots.tried.wait()
        await self.leases.run()


def _build(settings: Settings) -> list[ToolDefinition]:
    """Build the definitions, and import all that requests need: an upgrade may replace the package of a running server."""
    from dibs.mcp.app.document import document
    from dibs.mcp.definitions import definitions

    load_operations()
    for module in (
        "mcp.app.tools",
        "mcp.call",
        "mcp.prompts.completions",
        "mcp.prompts.prompts",
        "mcp.resources.read",
        "queries.change_feed",
        "rules.claim_holders",
        "verbs.staged_import",
    ):
        importlib.import_module(f"dibs.{module}")
    if is_offered(settings.role):
        document()
    return definitions(settings.role)


@asynccontextmanager
async def _lifespan(server: MCPServer[Session]) -> AsyncIterator[Session]:
    assert isinstance(server, DibsServer)
    try:
        async with anyio.create_task_group() as background:
            background.start_soon(server.warm_up)
            background.start_soon(server.keep_leases)
            background.start_soon(server.watch.run)
            yield server.session
            background.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await server.leases.end()
