"""The backlog of a server whose client may name the project's folder by its only MCP root.

Sources: MCP 2025-11-25, client/roots; RFC 8089 for file URIs. The revision 2026-07-28 deprecates roots, and its servers
send no requests, so there the working folder decides.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, MutableSequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import unquote_to_bytes, urlsplit

import anyio
from mcp import types
from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from dibs.database import Database, locate_database, open_database
from dibs.database.engine import DatabaseLocation
from dibs.mcp.codex import FOLDER, folder_in, is_codex
from dibs.root_folder import current_folder, is_plugin, is_shared
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput

logger = logging.getLogger(__name__)

PATIENCE: Final = 2.0
"""Seconds after which a client that does not say its roots counts as one without roots."""
UNKNOWN: Final = "the one of your client's root folder, as feature_get_stats says"
"""What the instructions call a database that is not chosen yet."""


class ClientRoots:
    """Chooses the backlog before anything uses the database: the client's only root comes before the working folder.

    `settings` are the settings of the chosen folder. `client` is set when the client can be asked, and `tried` after
    the first attempt to choose. `refusal` says why there is nothing to serve yet, as in a home folder; then each call
    tries again.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.waits_for_call = False
        """Whether there is nothing to serve before a call, with which the client names the folder."""
        self._choosing = anyio.Lock()
        self._is_chosen = False
        self._client: ServerSession | None = None
        self._met = anyio.Event()
        self.tried = anyio.Event()
        self.refusal: InvalidInput | None = None
        try:
            self.database = open_database(settings)
        except InvalidInput as refusal:
            self.refusal = refusal
            self.database = Database(DatabaseLocation("none", None, 1, self._refuse, lambda: False), settings)

    async def client(self) -> ServerSession:
        """Wait until the client can be asked, and return its session."""
        await self._met.wait()
        assert self._client is not None, "set before the event"
        return self._client

    async def choose(self, session: ServerSession, meta: Mapping[str, Any] | None = None) -> None:
        """Choose the backlog, if that is not done; a call's `_meta` may name the folder. Raises InvalidInput if none can."""
        if self._is_chosen:
            return
        async with self._choosing:
            try:
                if not self._is_chosen:
                    folder = folder_in(meta)
                    self._locate(folder_of(folder) if folder is not None else await only_root(session))
            finally:
                self.tried.set()

    def _locate(self, root: Path | None) -> None:
        working, settings = current_folder(), self.settings
        is_elsewhere = root is not None and not is_shared(root)
        is_elsewhere = is_elsewhere and (is_plugin(working) or root not in (working, *working.parents))
        try:
            if root is not None and is_elsewhere:
                settings = settings.in_folder(root)
            if is_elsewhere or self.refusal is not None:
                self.database.relocate(locate_database(settings), settings)
        except InvalidInput as refusal:
            self.refusal = refusal
            raise
        self.settings, self.refusal, self._is_chosen = settings, None, True

    def _refuse(self) -> NoReturn:
        assert self.refusal is not None, "there is no database"
        raise self.refusal

    # -- the handshake ----------------------------------------------------------------------------

    def attend(
        self, middleware: MutableSequence[ServerMiddleware[Any]], instructions: str, closing: anyio.Event
    ) -> None:
        """Add middleware that observes `initialize`; until a database is chosen, the server announces `instructions`.

        A client without roots cannot be served: it gets an error that says so, and `closing` is set.
        """

        async def notice(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
            if ctx.method == "initialize":
                capabilities = (ctx.params or {}).get("capabilities")
                if isinstance(capabilities, dict) and isinstance(capabilities.get("roots"), dict):
                    result = await call_next(ctx)
                    return {**result, "instructions": instructions} if isinstance(result, dict) else result
                if self.refusal is not None and is_codex(ctx.params):
                    self.waits_for_call = True
                    return _announcing(FOLDER, await call_next(ctx), instructions)
                if self.refusal is not None:
                    closing.set()
                    raise MCPError(code=types.INVALID_PARAMS, message=self.refusal.message)
            elif ctx.method != "ping" and not self._met.is_set():
                self._client = ctx.session
                self._met.set()
            return await call_next(ctx)

        middleware.append(notice)


def _announcing(capability: str, result: HandlerResult, instructions: str) -> HandlerResult:
    """Return the answer to `initialize` with an experimental capability and other instructions."""
    if not isinstance(result, dict):
        return result
    capabilities = result["capabilities"]
    experimental = {**(capabilities.get("experimental") or {}), capability: {}}
    return {**result, "instructions": instructions, "capabilities": {**capabilities, "experimental": experimental}}


async def only_root(session: ServerSession) -> Path | None:
    """Return the folder that is the client's only root, or None if it has no root or several, or does not say."""
    capabilities = session.client_capabilities
    if capabilities is None or capabilities.roots is None:
        return None
    with anyio.move_on_after(PATIENCE):
        try:
            roots = (await session.send_request(types.ListRootsRequest(), types.ListRootsResult)).roots
        except (MCPError, ValidationError) as error:  # it cannot answer, or a root is not a file
            logger.info("the client's roots are not known: %s", type(error).__name__)
            return None
        return folder_of(str(roots[0].uri)) if len(roots) == 1 else None
    logger.warning("the client did not say its roots within %g s: the working folder decides", PATIENCE)
    return None


def folder_of(uri: str) -> Path | None:
    """Return the folder that a `file:` URI names, or None if there is no such folder on this machine."""
    with suppress(OSError, ValueError):  # a host in brackets, a null character
        parts = urlsplit(uri)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            return None
        path = os.fsdecode(unquote_to_bytes(parts.path))
        for folder in (Path(path), Path(path[1:])):  # Windows: file:///C:/x
            if folder.is_absolute() and folder.is_dir():
                return folder.resolve()
    return None
