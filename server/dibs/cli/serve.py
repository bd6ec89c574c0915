"""`dibs serve`: the MCP server on standard input and output, or over HTTP."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

import click

from dibs.cli.options import say_refusals, settings_options
from dibs.root_folder import named_folder, served_folder
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput
from dibs_schema.roles import Role

if TYPE_CHECKING:
    import socket

    from dibs.mcp.server import DibsServer


@click.command()
@click.option(
    "--http",
    metavar="[PORT | HOST:PORT]",
    is_flag=False,
    flag_value="",
    help="Serve Streamable HTTP to the clients of this machine; the default port is 3427.",
)
@click.option("--board", is_flag=True, help="With --http, serve the web page of `dibs board` too.")
@settings_options(*(name for name in Settings.model_fields if name != "token"))
@say_refusals
def serve(http: str | None, *, board: bool, **flags: Any) -> None:
    """Serve the backlog to an MCP client over stdio, or to many over HTTP."""
    gc.disable()  # imports leave no garbage; the server enables it when all is loaded
    settings = Settings.read(flags, folder=served_folder)
    if http is not None and settings.agent is not None:
        raise InvalidInput(
            "An agent's name belongs to one client, and over HTTP there are many: leave out --agent and DIBS_AGENT. "
            "Each call of feature_claim_and_get names its own agent.",
            field="--agent",
        )
    if http is not None and settings.claim is not None:
        raise InvalidInput(
            "A claim that was made for one agent belongs to one client, and over HTTP there are many: leave out --claim "
            "and DIBS_CLAIM. Each call sends its own claim_token.",
            field="--claim",
        )
    if board and http is None:
        raise InvalidInput("--board: a page needs --http.", field="--board")
    from dibs.database import open_database
    from dibs.mcp.server import DibsServer

    if http is None:
        if sys.stdin is None or sys.stdout is None:  # Python's own sign of a descriptor that was closed at the start
            raise InvalidInput(
                "Standard input or output is closed, and there an MCP client speaks with the server that it starts. "
                "`dibs serve --http` needs neither.",
                field="stdin",
            )
        from dibs.rules.claimant import new_session

        if named_folder() is not None or (settings.db is not None and not settings.guesses_project):
            DibsServer(open_database(settings), settings, new_session()).run("stdio")
            return
        server = DibsServer.asking_for_roots(settings, new_session())
        server.run("stdio")
        if (refusal := server.refusal) is not None:
            raise refusal
        return
    import anyio

    from dibs.http.listener import listen
    from dibs.mcp.transport.http import PORT, address

    with listen(*address(http or str(PORT)), "--http") as listening:
        server = DibsServer(open_database(settings), settings, None)
        role = Role.VIEWER if settings.role is Role.VIEWER else Role.PLANNER
        on_board = settings.model_copy(update={"role": role}) if board else None
        sys.exit(anyio.run(_serve_http, server, listening, on_board))


async def _serve_http(server: DibsServer, listening: socket.socket, on_board: Settings | None) -> int:
    """Serve clients, and beside them the board with these settings, and return the exit status."""
    from dibs.mcp.transport.http import serve_http

    if on_board is None:
        return await serve_http(server, listening, server.closing)
    from dibs.board.server import open_board

    async with open_board([(server.session.database, on_board)], listening, server.closing) as (application, url):
        sys.stderr.write(f"dibs: the board is at {url}\n")
        return await serve_http(server, listening, server.closing, application)
