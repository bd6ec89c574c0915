"""Serves the board on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import uvicorn

from dibs.board.access import Access
from dibs.board.app import Board
from dibs.board.project import Project
from dibs.mcp.transport.http import listen

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs.settings import Settings


async def serve(database: Database, settings: Settings, port: int, announce: Callable[[str], None]) -> None:
    """Serve the board until a signal arrives. `announce` gets the address with the key."""
    with listen("127.0.0.1", port) as listening:
        port = listening.getsockname()[1]
        board = Board(Project(database, settings))
        access = Access(board.application(), port)
        announce(f"http://127.0.0.1:{port}/?key={access.key}")
        config = uvicorn.Config(access, log_config=None, access_log=False, timeout_graceful_shutdown=1, ws="none")
        await uvicorn.Server(config).serve(sockets=[listening])
