"""Serves the board on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from dibs.board.access import Access
from dibs.board.app import Board
from dibs.board.project import Project
from dibs.http.listener import LOOPBACK, listen, serve, url_of

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs.settings import Settings


async def serve_board(database: Database, settings: Settings, port: int, announce: Callable[[str], None]) -> int:
    """Serve the board until a signal arrives, and return the exit status. `announce` gets the address with the key.

    Raises InvalidInput if the port is not available.
    """
    with listen(LOOPBACK[0], port, "--port") as listening:
        closing = anyio.Event()
        board = Board(Project(database, settings))
        access = Access(board.application(), listening.getsockname()[1])
        announce(f"{url_of(listening)}/?key={access.key}")
        async with anyio.create_task_group() as background:
            background.start_soon(board.run, closing)
            status = await serve(access, listening, closing)
            background.cancel_scope.cancel()
    return status
