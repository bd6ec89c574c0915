"""Serves the board on this machine."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio

from dibs.board.access import Access
from dibs.board.app import Board
from dibs.board.known_browser import KnownBrowser, file_for, last_port
from dibs.board.project import Project
from dibs.http.listener import LOOPBACK, listen, serve, url_of
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from dibs.database import Database
    from dibs.settings import Settings

    Backlog = tuple[Database, Settings]


async def serve_board(backlogs: Sequence[Backlog], port: int | None, announce: Callable[[str], None]) -> int:
    """Serve the board until a signal arrives, and return the exit status. `announce` gets the address with the key.

    Without a port it takes the last one, which open pages still use, or any port if that is taken. Raises InvalidInput
    if the port is not available.
    """
    with _listen_where_pages_are_open(backlogs) if port is None else listen(LOOPBACK[0], port, "--port") as listening:
        closing = anyio.Event()
        async with open_board(backlogs, listening, closing) as (application, url):
            announce(url)
            return await serve(application, listening, closing)


@asynccontextmanager
async def open_board(
    backlogs: Sequence[Backlog], listening: socket.socket, closing: anyio.Event
) -> AsyncIterator[tuple[ASGIApp, str]]:
    """Yield the application of a board for a server on that socket, and the address with the key.

    The journals are watched during the block. The streams end when `closing` is set.
    """
    board = Board(projects_of(backlogs))
    port = listening.getsockname()[1]
    access = Access(board.application(), port, KnownBrowser(file_for(backlogs), port))
    async with anyio.create_task_group() as background:
        background.start_soon(board.run, closing)
        yield access, f"{url_of(listening)}/?key={access.key}"
        background.cancel_scope.cancel()


def _listen_where_pages_are_open(backlogs: Sequence[Backlog]) -> socket.socket:
    with suppress(InvalidInput):  # another program listens there now
        return listen(LOOPBACK[0], last_port(file_for(backlogs)), "--port")
    return listen(LOOPBACK[0], 0, "--port")


def projects_of(backlogs: Sequence[Backlog]) -> list[Project]:
    """Return the projects of a board. A single project is at the root; each of several is under its number."""
    if len(backlogs) == 1:
        return [Project(*backlogs[0])]
    return [Project(*one, root=f"/{place}", all_projects="/") for place, one in enumerate(backlogs, 1)]
